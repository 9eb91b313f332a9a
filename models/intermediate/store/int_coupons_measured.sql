-- A coupon's mean price is that of its products, a product counting once.
with
    coupon_products as (select * from {{ ref("int_coupon_products_known") }}),

    products as (select * from {{ ref("int_products_assigned") }}),

    final as (

        select
            coupon_products.coupon_id,
            {{ mean_money("products.buy_price") }} as product_mean_price,
            count(*) as products_available
        from coupon_products
        inner join products on coupon_products.product_id = products.product_id
        group by 1

    )

select *
from final
