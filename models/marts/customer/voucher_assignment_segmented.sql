with
    assignments as (
        select * from {{ ref("int_voucher_assignments_segmented_by_recency") }}
    ),

    final as (

        -- Rows that share all of these are equal: their order does not matter.
        select
            row_number() over (
                order by
                    timestamp,
                    {{ text_order("country_code") }} nulls last,
                    last_order_ts,
                    first_order_ts,
                    total_orders,
                    voucher_amount nulls last
            ) as assignment_id,
            timestamp,
            country_code,
            last_order_ts,
            first_order_ts,
            total_orders,
            voucher_amount,
            frequency_segment,
            recency_segment
        from assignments

    )

select *
from final
