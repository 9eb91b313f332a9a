with
    coupon_products as (select * from {{ ref("int_coupon_products_known") }}),

    final as (select coupon_id, product_id from coupon_products)

select *
from final
