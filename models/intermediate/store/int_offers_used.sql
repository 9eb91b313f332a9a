-- An offer was used when its customer later bought an item with its coupon: not before
-- the event by the shop's clock, and on a day on which the coupon was valid.
{{ config(materialized="table") }}

with
    decisions as (select * from {{ ref("int_decisions_assigned") }}),

    orders as (select * from {{ ref("int_orders_gathered") }}),

    order_lines as (select * from {{ ref("int_order_lines_gathered") }}),

    coupons as (select * from {{ ref("int_coupons_gathered") }}),

    -- Of several uses, the last one shows whether any was later.
    last_valid_uses as (

        select
            orders.customer_id,
            order_lines.coupon_id,
            max(orders.ordered_at) as last_used_at
        from order_lines
        inner join orders on order_lines.order_id = orders.order_id
        inner join coupons on order_lines.coupon_id = coupons.coupon_id
        where
            cast(orders.ordered_at as date)
            between coupons.start_date and coupons.end_date
        group by 1, 2

    ),

    final as (

        select
            decisions.event_key,
            decisions.customer_id,
            decisions.coupon_id,
            decisions.department,
            coalesce(uses.last_used_at >= decisions.event_shop_time, false) as is_used,
            decisions.event_date
        from decisions
        left join
            last_valid_uses as uses
            on decisions.customer_id = uses.customer_id
            and decisions.coupon_id = uses.coupon_id
        where decisions.outcome = 'offer'

    )

select *
from final
