with
    segment_history as (select * from {{ ref("household_segment_history") }}),

    segments as (select * from {{ ref("segments") }}),

    periods as (

        select
            period_end,
            period_end_date,
            count(*) as households,
            {{ sum_money("total_sales") }} as total_sales
        from segment_history
        group by 1, 2

    ),

    last_periods as (select max(period_end) as period_end from periods),

    counted as (

        select
            period_end,
            segment,
            count(*) as households,
            {{ sum_money("total_sales") }} as total_sales
        from segment_history
        group by 1, 2

    ),

    final as (

        select
            periods.period_end,
            periods.period_end_date,
            segments.position,
            segments.segment,
            segments.meaning,
            coalesce(counted.households, 0) as households,
            {{ divide("coalesce(counted.households, 0)", "periods.households") }}
            as share,
            cast(coalesce(counted.total_sales, 0) as decimal(18, 2)) as total_sales,
            {{ divide("coalesce(counted.total_sales, 0)", "periods.total_sales") }}
            as sales_share,
            periods.period_end = last_periods.period_end as is_latest
        from periods
        cross join segments
        cross join last_periods
        left join
            counted
            on periods.period_end = counted.period_end
            and segments.segment = counted.segment

    )

select *
from final
