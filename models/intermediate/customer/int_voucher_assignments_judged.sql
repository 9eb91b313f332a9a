-- An assignment counts when its order count is a whole number above zero and its dates
-- are present and in order: first order, last order, assignment. Any other is dropped
-- for the first reason that applies.
{{ config(materialized="table") }}

with
    assignments as (select * from {{ ref("stg_voucher_assignments__assignments") }}),

    distinct_assignments as (

        select
            timestamp,
            country_code,
            last_order_ts,
            first_order_ts,
            total_orders as order_count,
            voucher_amount,
            count(*) as times_listed
        from assignments
        group by 1, 2, 3, 4, 5, 6

    ),

    counted as (

        select *, {{ whole_number("order_count") }} as total_orders
        from distinct_assignments

    ),

    final as (

        select
            timestamp,
            country_code,
            last_order_ts,
            first_order_ts,
            total_orders,
            voucher_amount,
            times_listed,
            case
                when order_count is null or {{ trimmed("order_count") }} = ''
                then 'empty order count'
                when total_orders is null
                then 'order count is no whole number'
                when total_orders < 0
                then 'negative order count'
                when total_orders = 0
                then 'zero order count'
                when
                    timestamp is null or last_order_ts is null or first_order_ts is null
                then 'missing date'
                when first_order_ts > last_order_ts
                then 'first order after last order'
                when last_order_ts > timestamp
                then 'last order after assignment'
            end as drop_reason
        from counted

    )

select *
from final
