with
    source as (select * from {{ raw("events", "basket_lines") }}),

    final as (

        select
            cast(number as bigint) as number,
            {{ as_text("event_key") }} as event_key,
            cast(household_key as bigint) as household_key,
            cast(basket_id as bigint) as basket_id,
            cast(product_id as bigint) as product_id,
            cast(store_id as bigint) as store_id,
            cast(quantity as bigint) as quantity,
            cast(sales_value as decimal(18, 2)) as sales_value,
            cast(retail_disc as decimal(18, 2)) as retail_discount,
            cast(coupon_disc as decimal(18, 2)) as coupon_discount,
            cast(coupon_match_disc as decimal(18, 2)) as coupon_match_discount,
            cast(day as integer) as day,
            cast(trans_time as integer) as time_of_day
        from source

    )

select *
from final
