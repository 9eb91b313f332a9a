-- Fails if a basket or an order that came in live is missing, or has a line twice,
-- among all of them.
with
    live_baskets as (

        select distinct household_key, basket_id
        from {{ ref("stg_events__basket_lines") }}

    ),

    baskets_counted as (

        select
            'basket' as purchase,
            live_baskets.basket_id as id,
            count(transactions.product_id) as lines,
            count(distinct transactions.product_id) as distinct_lines
        from live_baskets
        left join
            {{ ref("int_transactions_gathered") }} as transactions
            on live_baskets.household_key = transactions.household_key
            and live_baskets.basket_id = transactions.basket_id
        group by live_baskets.household_key, live_baskets.basket_id

    ),

    live_orders as (select distinct order_id from {{ ref("stg_events__order_lines") }}),

    orders_counted as (

        select
            'order' as purchase,
            live_orders.order_id as id,
            count(order_lines.line_number) as lines,
            count(distinct order_lines.line_number) as distinct_lines
        from live_orders
        left join
            {{ ref("int_order_lines_gathered") }} as order_lines
            on live_orders.order_id = order_lines.order_id
        group by live_orders.order_id

    )

select *
from baskets_counted
where lines = 0 or lines <> distinct_lines
union all
select *
from orders_counted
where lines = 0 or lines <> distinct_lines
