with
    coupons as (select * from {{ ref("int_coupons_gathered") }}),

    priced as (select * from {{ ref("int_coupons_priced") }}),

    final as (

        select
            coupons.coupon_id,
            coupons.coupon_type,
            coupons.department,
            coupons.discount,
            coupons.how_many_products_required,
            coupons.start_date,
            coupons.end_date,
            priced.product_mean_price,
            priced.products_available
        from coupons
        inner join priced on coupons.coupon_id = priced.coupon_id

    )

select *
from final
