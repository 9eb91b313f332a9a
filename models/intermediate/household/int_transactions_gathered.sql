-- Transactions are the lines of files together with those that came in live.
with
    file_lines as (select * from {{ ref("stg_complete_journey__transactions") }}),

    live_lines as (select * from {{ ref("int_live_basket_lines_kept") }}),

    final as (

        select
            household_key,
            basket_id,
            product_id,
            store_id,
            quantity,
            sales_value,
            retail_discount,
            coupon_discount,
            coupon_match_discount,
            day,
            week_no,
            time_of_day
        from file_lines
        union all
        select
            household_key,
            basket_id,
            product_id,
            store_id,
            quantity,
            sales_value,
            retail_discount,
            coupon_discount,
            coupon_match_discount,
            day,
            cast(null as integer) as week_no,
            time_of_day
        from live_lines

    )

select *
from final
