-- A household's activity: first and last shopping day, distinct baskets, baskets per
-- day between the two (both included), and total sales.
{{ config(materialized="table") }}

with
    baskets as (select * from {{ ref("int_baskets_summed") }}),

    households as (

        select
            household_key,
            min(day) as first_day,
            max(day) as last_day,
            count(distinct basket_id) as baskets,
            {{ sum_money("sales_value") }} as total_sales
        from baskets
        group by 1

    ),

    final as (

        select
            household_key,
            first_day,
            last_day,
            baskets,
            {{ baskets_per_day("baskets", "first_day", "last_day") }}
            as baskets_per_day,
            total_sales
        from households

    )

select *
from final
