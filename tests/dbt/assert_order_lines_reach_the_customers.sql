-- Fails if customers who ordered did not buy as many items as there are lines of known
-- orders, or used as many coupons.
with
    buyers as (select distinct customer_id from {{ ref("int_orders_gathered") }}),

    lines_counted as (

        select count(*) as items, count(order_lines.coupon_id) as coupons
        from {{ ref("int_order_lines_gathered") }} as order_lines
        inner join
            {{ ref("int_orders_gathered") }} as orders
            on order_lines.order_id = orders.order_id

    ),

    customers_counted as (

        select
            coalesce(sum(customers.total_items_bought), 0) as items,
            coalesce(sum(customers.total_coupons_used), 0) as coupons
        from {{ ref("customer_info") }} as customers
        inner join
            {{ ref("int_customers_measured") }} as measured
            on customers.customer_id = measured.customer_id
        inner join buyers on customers.customer_id = buyers.customer_id

    )

select
    lines_counted.items,
    customers_counted.items as items_of_customers,
    lines_counted.coupons,
    customers_counted.coupons as coupons_of_customers
from lines_counted
cross join customers_counted
where
    lines_counted.items <> customers_counted.items
    or lines_counted.coupons <> customers_counted.coupons
