with
    -- Read twice, as are their scores: DuckDB would work them out each time.
    households as materialized(
        select * from {{ ref("int_households_measured_by_period") }}
    ),

    segment_grid as (select * from {{ ref("segment_grid") }}),

    frequency_bounds as (

        select period_end, {{ fifth_bounds("baskets_per_day") }}
        from households
        group by 1

    ),

    frequency_scored as materialized(

        select
            households.*,
            {{ log_of_sales("households.total_sales") }} as log_sales,
            {{ fifth("households.baskets_per_day") }} as f_score
        from households
        inner join
            frequency_bounds on households.period_end = frequency_bounds.period_end

    ),

    monetary_bounds as (

        select period_end, {{ fifth_bounds("log_sales") }}
        from frequency_scored
        group by 1

    ),

    scored as (

        select
            households.*,
            {{ recency_score("households.last_day", "households.period_end") }}
            as r_score,
            {{ fifth("households.log_sales") }} as m_score
        from frequency_scored as households
        inner join monetary_bounds on households.period_end = monetary_bounds.period_end

    ),

    named as (

        select
            scored.*,
            grid.segment,
            lag(grid.segment) over (
                partition by scored.household_key order by scored.period_end
            ) as previous_segment
        from scored
        inner join
            segment_grid as grid
            on scored.r_score = grid.r_score
            and scored.f_score = grid.f_score
            and scored.m_score = grid.m_score

    ),

    dated as (

        select
            *,
            max(
                case when previous_segment is distinct from segment then period_end end
            ) over (partition by household_key order by period_end) as since_day
        from named

    ),

    final as (

        select
            dated.household_key,
            dated.period_end,
            {{ date_of("dated.period_end") }} as period_end_date,
            dated.segment,
            dated.previous_segment,
            dated.since_day,
            {{ date_of("dated.since_day") }} as since_date,
            dated.r_score,
            dated.f_score,
            dated.m_score,
            dated.last_day,
            {{ date_of("dated.last_day") }} as last_date,
            dated.baskets,
            dated.baskets_per_day,
            dated.total_sales
        from dated

    )

select *
from final
