with
    household_segments as (select * from {{ ref("household_segments") }}),

    segment_grid as (select * from {{ ref("segment_grid") }}),

    cells as (select distinct r_score, f_score from segment_grid),

    counted as (

        select
            r_score,
            f_score,
            count(*) as households,
            {{ sum_money("total_sales") }} as total_sales
        from household_segments
        group by 1, 2

    ),

    -- Without households no row: shares of nothing are none.
    totals as (

        select count(*) as households, {{ sum_money("total_sales") }} as total_sales
        from household_segments
        having count(*) > 0

    ),

    final as (

        select
            cells.r_score,
            cells.f_score,
            coalesce(counted.households, 0) as households,
            {{ divide("coalesce(counted.households, 0)", "totals.households") }}
            as share,
            cast(coalesce(counted.total_sales, 0) as decimal(18, 2)) as total_sales,
            {{ divide("coalesce(counted.total_sales, 0)", "totals.total_sales") }}
            as sales_share
        from cells
        cross join totals
        left join
            counted
            on cells.r_score = counted.r_score
            and cells.f_score = counted.f_score

    )

select *
from final
