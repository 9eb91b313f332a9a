with
    source as (select * from {{ raw("store", "order_lines") }}),

    final as (

        select
            cast(order_id as bigint) as order_id,
            cast(line_number as bigint) as line_number,
            cast(product_id as bigint) as product_id,
            cast(coupon_id as bigint) as coupon_id,
            cast(original_price as decimal(18, 2)) as original_price,
            cast(paid_price as decimal(18, 2)) as paid_price
        from source

    )

select *
from final
