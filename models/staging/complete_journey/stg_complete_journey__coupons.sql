with
    source as (select * from {{ raw("household", "coupon") }}),

    -- The file repeats some rows exactly.
    final as (

        select distinct
            cast(coupon_upc as bigint) as coupon_upc,
            cast(product_id as bigint) as product_id,
            cast(campaign as bigint) as campaign
        from source

    )

select *
from final
