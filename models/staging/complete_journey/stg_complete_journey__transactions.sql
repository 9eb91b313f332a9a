with
    source as (select * from {{ raw("household", "transaction_data") }}),

    final as (

        select
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
            cast(week_no as integer) as week_no,
            cast(trans_time as integer) as time_of_day
        from source

    )

select *
from final
