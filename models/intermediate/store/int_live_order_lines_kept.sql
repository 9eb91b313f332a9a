-- An order that came in live counts as its last event says. One that a file has, too,
-- or of which a file has lines, counts as in the files.
{{ config(materialized="table") }}

with
    live_lines as (select * from {{ ref("stg_events__order_lines") }}),

    filed_orders as (select * from {{ ref("int_orders_filed") }}),

    live_orders as (

        select order_id, max(number) as last_number from live_lines group by 1

    ),

    orders_of_files as (

        select live_orders.order_id
        from filed_orders
        inner join live_orders on filed_orders.order_id = live_orders.order_id
        group by 1

    ),

    last_events as (

        select live_lines.event_key
        from live_lines
        inner join live_orders on live_lines.number = live_orders.last_number

    ),

    final as (

        select
            live_lines.order_id,
            live_lines.line_number,
            live_lines.customer_id,
            live_lines.product_id,
            live_lines.coupon_id,
            live_lines.original_price,
            live_lines.paid_price,
            live_lines.ordered_at
        from live_lines
        inner join last_events on live_lines.event_key = last_events.event_key
        left join orders_of_files on live_lines.order_id = orders_of_files.order_id
        where orders_of_files.order_id is null

    )

select *
from final
