-- A coupon applies to the products that it is linked to, where both the coupon and the
-- product are known.
with
    coupon_products as (select * from {{ ref("stg_store__coupon_products") }}),

    coupons as (select * from {{ ref("int_coupons_gathered") }}),

    products as (select * from {{ ref("int_products_assigned") }}),

    final as (

        select coupon_products.coupon_id, coupon_products.product_id
        from coupon_products
        inner join coupons on coupon_products.coupon_id = coupons.coupon_id
        inner join products on coupon_products.product_id = products.product_id

    )

select *
from final
