with
    segment_history as (select * from {{ ref("household_segment_history") }}),

    first_periods as (select min(period_end) as period_end from segment_history),

    final as (

        select
            segment_history.period_end,
            segment_history.period_end_date,
            coalesce(segment_history.previous_segment, 'none') as from_segment,
            segment_history.segment as to_segment,
            count(*) as households,
            {{ sum_money("segment_history.total_sales") }} as total_sales
        from segment_history
        inner join
            first_periods on segment_history.period_end > first_periods.period_end
        group by 1, 2, 3, 4

    )

select *
from final
