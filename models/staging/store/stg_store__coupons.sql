with
    source as (select * from {{ raw("store", "coupons") }}),

    final as (

        select
            cast(coupon_id as bigint) as coupon_id,
            nullif({{ trimmed("coupon_type") }}, '') as coupon_type,
            nullif({{ trimmed("department") }}, '') as department,
            cast(discount as integer) as discount,
            cast(how_many_products_required as integer) as how_many_products_required,
            cast(start_date as date) as start_date,
            cast(end_date as date) as end_date
        from source

    )

select *
from final
