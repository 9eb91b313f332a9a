-- A basket that came in live counts as its last event says. One that a file has, too,
-- counts as in the file.
{{ config(materialized="table") }}

with
    live_lines as (select * from {{ ref("stg_events__basket_lines") }}),

    file_lines as (select * from {{ ref("stg_complete_journey__transactions") }}),

    live_baskets as (

        select household_key, basket_id, max(number) as last_number
        from live_lines
        group by 1, 2

    ),

    file_baskets as (

        select live_baskets.household_key, live_baskets.basket_id
        from file_lines
        inner join
            live_baskets
            on file_lines.household_key = live_baskets.household_key
            and file_lines.basket_id = live_baskets.basket_id
        group by 1, 2

    ),

    last_events as (

        select live_lines.event_key
        from live_lines
        inner join live_baskets on live_lines.number = live_baskets.last_number

    ),

    final as (

        select
            live_lines.household_key,
            live_lines.basket_id,
            live_lines.product_id,
            live_lines.store_id,
            live_lines.quantity,
            live_lines.sales_value,
            live_lines.retail_discount,
            live_lines.coupon_discount,
            live_lines.coupon_match_discount,
            live_lines.day,
            live_lines.time_of_day
        from live_lines
        inner join last_events on live_lines.event_key = last_events.event_key
        left join
            file_baskets
            on live_lines.household_key = file_baskets.household_key
            and live_lines.basket_id = file_baskets.basket_id
        where file_baskets.basket_id is null

    )

select *
from final
