-- Fails if a coupon with products states another number of them than it has.
with
    counted as (

        select coupon_id, count(*) as products
        from {{ ref("coupon_product") }}
        group by 1

    )

select coupon_info.coupon_id, coupon_info.products_available, counted.products
from {{ ref("coupon_info") }} as coupon_info
inner join counted on coupon_info.coupon_id = counted.coupon_id
where coupon_info.products_available <> counted.products
