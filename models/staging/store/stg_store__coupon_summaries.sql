with
    source as (select * from {{ raw("store", "coupon_info") }}),

    final as (

        select
            cast(coupon_id as bigint) as coupon_id,
            nullif({{ trimmed("coupon_type") }}, '') as coupon_type,
            nullif({{ trimmed("department") }}, '') as department,
            cast(discount as integer) as discount,
            cast(how_many_products_required as integer) as how_many_products_required,
            cast(start_date as date) as start_date,
            cast(end_date as date) as end_date,
            cast(product_mean_price as decimal(18, 2)) as product_mean_price,
            cast(products_available as bigint) as products_available
        from source

    )

select *
from final
