-- An order is in the files when they have it, or a line of it.
with
    orders as (select * from {{ ref("stg_store__orders") }}),

    order_lines as (select * from {{ ref("stg_store__order_lines") }}),

    final as (

        select order_id
        from orders
        union all
        select order_id
        from order_lines

    )

select *
from final
