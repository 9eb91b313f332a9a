with
    source as (select * from {{ raw("store", "coupon_products") }}),

    final as (

        select distinct
            cast(coupon_id as bigint) as coupon_id,
            cast(product_id as bigint) as product_id
        from source

    )

select *
from final
