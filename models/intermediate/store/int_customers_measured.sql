-- A customer's purchases are its order lines, one line being one item.
{{ config(materialized="table") }}

with
    order_lines as (select * from {{ ref("int_order_lines_discounted") }}),

    final as (

        select
            customer_id,
            {{ mean_money("paid_price") }} as mean_buy_price,
            count(coupon_id) as total_coupons_used,
            {{ mean_percent("discount_millionths") }} as mean_discount_received,
            count(distinct product_id) as unique_products_bought,
            count(
                distinct case when coupon_id is not null then product_id end
            ) as unique_products_bought_with_coupons,
            count(*) as total_items_bought
        from order_lines
        group by 1

    )

select *
from final
