-- An order line's discount is the unpaid part of its original price, in percent; a line
-- without an original price above 0 has none.
with
    order_lines as (select * from {{ ref("int_order_lines_gathered") }}),

    orders as (select * from {{ ref("int_orders_gathered") }}),

    final as (

        select
            order_lines.order_id,
            order_lines.line_number,
            orders.customer_id,
            order_lines.product_id,
            order_lines.coupon_id,
            order_lines.paid_price,
            {{
                percent_millionths(
                    "order_lines.original_price - order_lines.paid_price",
                    "order_lines.original_price",
                )
            }} as discount_millionths
        from order_lines
        inner join orders on order_lines.order_id = orders.order_id

    )

select *
from final
