-- The shop's coupons are those it lists; a coupon that only its ready-made aggregates
-- have comes from there.
with
    coupons as (select * from {{ ref("stg_store__coupons") }}),

    coupon_summaries as (select * from {{ ref("stg_store__coupon_summaries") }}),

    gathered as (

        select
            coupon_id,
            coupon_type,
            department,
            discount,
            how_many_products_required,
            start_date,
            end_date
        from coupons
        union all
        select
            summaries.coupon_id,
            summaries.coupon_type,
            summaries.department,
            summaries.discount,
            summaries.how_many_products_required,
            summaries.start_date,
            summaries.end_date
        from coupon_summaries as summaries
        left join coupons on summaries.coupon_id = coupons.coupon_id
        where coupons.coupon_id is null

    ),

    final as (

        select
            coupon_id,
            coupon_type,
            {{ department("department") }} as department,
            discount,
            how_many_products_required,
            start_date,
            end_date
        from gathered

    )

select *
from final
