with
    source as (select * from {{ raw("events", "order_lines") }}),

    final as (

        select
            cast(number as bigint) as number,
            {{ as_text("event_key") }} as event_key,
            cast(order_id as bigint) as order_id,
            cast(line as bigint) as line_number,
            cast(customer_id as bigint) as customer_id,
            cast(product_id as bigint) as product_id,
            cast(coupon_id as bigint) as coupon_id,
            cast(original_price as decimal(18, 2)) as original_price,
            cast(paid_price as decimal(18, 2)) as paid_price,
            cast(event_shop_time as timestamp) as ordered_at
        from source

    )

select *
from final
