with
    source as (select * from {{ raw("household", "coupon_redempt") }}),

    final as (

        select
            cast(household_key as bigint) as household_key,
            cast(coupon_upc as bigint) as coupon_upc,
            cast(campaign as bigint) as campaign,
            cast(day as integer) as day
        from source

    )

select *
from final
