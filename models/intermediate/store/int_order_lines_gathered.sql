-- Order lines are those of files together with those that came in live.
with
    file_lines as (select * from {{ ref("stg_store__order_lines") }}),

    live_lines as (select * from {{ ref("int_live_order_lines_kept") }}),

    final as (

        select order_id, line_number, product_id, coupon_id, original_price, paid_price
        from file_lines
        union all
        select order_id, line_number, product_id, coupon_id, original_price, paid_price
        from live_lines

    )

select *
from final
