with
    baskets as (select * from {{ ref("int_baskets_summed") }}),

    final as (

        select
            household_key,
            week_no,
            count(distinct basket_id) as baskets,
            cast(sum(lines) as bigint) as lines,
            cast(sum(quantity) as bigint) as quantity,
            {{ sum_money("sales_value") }} as total_sales
        from baskets
        group by 1, 2

    )

select *
from final
