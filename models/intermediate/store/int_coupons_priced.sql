-- Figures computed from a coupon's products win; a coupon without known products has
-- those of the shop's ready-made aggregates, else no mean price and 0 products.
with
    coupons as (select * from {{ ref("int_coupons_gathered") }}),

    measured as (select * from {{ ref("int_coupons_measured") }}),

    coupon_summaries as (select * from {{ ref("stg_store__coupon_summaries") }}),

    final as (

        select
            coupons.coupon_id,
            case
                when measured.coupon_id is not null
                then measured.product_mean_price
                else summaries.product_mean_price
            end as product_mean_price,
            coalesce(
                measured.products_available, summaries.products_available, 0
            ) as products_available
        from coupons
        left join measured on coupons.coupon_id = measured.coupon_id
        left join
            coupon_summaries as summaries on coupons.coupon_id = summaries.coupon_id

    )

select *
from final
