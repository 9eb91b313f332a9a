-- A customer's order lines win; a customer without any has the figures of the shop's
-- ready-made aggregates, else totals of 0 and no means.
with
    customers as (select * from {{ ref("int_customers_described") }}),

    measured as (select * from {{ ref("int_customers_measured") }}),

    customer_summaries as (select * from {{ ref("stg_store__customer_summaries") }}),

    final as (

        select
            customers.customer_id,
            case
                when measured.customer_id is not null
                then measured.mean_buy_price
                else summaries.mean_buy_price
            end as mean_buy_price,
            coalesce(
                measured.total_coupons_used, summaries.total_coupons_used, 0
            ) as total_coupons_used,
            case
                when measured.customer_id is not null
                then measured.mean_discount_received
                else summaries.mean_discount_received
            end as mean_discount_received,
            coalesce(
                measured.unique_products_bought, summaries.unique_products_bought, 0
            ) as unique_products_bought,
            coalesce(
                measured.unique_products_bought_with_coupons,
                summaries.unique_products_bought_with_coupons,
                0
            ) as unique_products_bought_with_coupons,
            coalesce(
                measured.total_items_bought, summaries.total_items_bought, 0
            ) as total_items_bought
        from customers
        left join measured on customers.customer_id = measured.customer_id
        left join
            customer_summaries as summaries
            on customers.customer_id = summaries.customer_id

    )

select *
from final
