with
    households as (select * from {{ ref("int_households_measured_by_period") }}),

    segment_grid as (select * from {{ ref("segment_grid") }}),

    measured as (

        select *, {{ log_of_sales("total_sales") }} as log_sales from households

    ),

    bounds as (

        select
            period_end,
            {{ fifth_bounds("baskets_per_day") }} as f_bounds,
            {{ fifth_bounds("log_sales") }} as m_bounds
        from measured
        group by 1

    ),

    scored as (

        select
            measured.*,
            {{ recency_score("measured.last_day", "measured.period_end") }} as r_score,
            {{ fifth("measured.baskets_per_day", "f_bounds") }} as f_score,
            {{ fifth("measured.log_sales", "m_bounds") }} as m_score
        from measured
        inner join bounds on measured.period_end = bounds.period_end

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
