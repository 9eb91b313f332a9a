with
    source as (select * from {{ raw("customer", "voucher_assignments") }}),

    final as (

        select
            cast(timestamp as timestamp) as timestamp,
            country_code,
            cast(last_order_ts as timestamp) as last_order_ts,
            cast(first_order_ts as timestamp) as first_order_ts,
            total_orders,
            cast(voucher_amount as decimal(18, 2)) as voucher_amount
        from source

    )

select *
from final
