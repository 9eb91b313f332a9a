with
    households as (select * from {{ ref("int_households_measured_by_period") }}),

    bounds as (select * from {{ ref("int_fifths_bounded") }}),

    segment_grid as (select * from {{ ref("segment_grid") }}),

    measured as (

        select *, {{ log_of_sales("total_sales") }} as log_sales from households

    ),

    scored as (

        select
            measured.*,
            {{ recency_score("measured.last_day", "measured.period_end") }} as r_score,
            {{ fifth("measured.baskets_per_day", "bounds.frequency_bound") }}
            as f_score,
            {{ fifth("measured.log_sales", "bounds.monetary_bound") }} as m_score
        from measured
        inner join bounds on measured.periods_ago = bounds.periods_ago

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
