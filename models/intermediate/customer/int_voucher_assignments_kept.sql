-- The assignments that count, each once however often it is listed.
with
    assignments as (select * from {{ ref("int_voucher_assignments_judged") }}),

    final as (

        select
            timestamp,
            nullif({{ spelled("country_code") }}, '') as country_code,
            last_order_ts,
            first_order_ts,
            total_orders,
            voucher_amount
        from assignments
        where drop_reason is null

    )

select *
from final
