-- Orders are those of files together with those that came in live.
with
    file_orders as (select * from {{ ref("stg_store__orders") }}),

    live_lines as (select * from {{ ref("int_live_order_lines_kept") }}),

    final as (

        select order_id, customer_id, ordered_at
        from file_orders
        union all
        select order_id, customer_id, ordered_at
        from live_lines
        group by 1, 2, 3

    )

select *
from final
