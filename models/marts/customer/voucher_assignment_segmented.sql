with
    assignments as (

        select *, cast(timestamp as date) as assigned_on
        from {{ ref("int_voucher_assignments_segmented_by_recency") }}

    ),

    days_of_assignments as (
        {{ groups_of_rows("assignments", ["assigned_on"], ["assigned_on"]) }}
    ),

    final as (

        -- Rows that share all of these are equal: their order does not matter.
        select
            days.rows_before + row_number() over (
                partition by assignments.assigned_on
                order by
                    assignments.timestamp,
                    {{ text_order("assignments.country_code") }} nulls last,
                    assignments.last_order_ts,
                    assignments.first_order_ts,
                    assignments.total_orders,
                    assignments.voucher_amount nulls last
            ) as assignment_id,
            assignments.timestamp,
            assignments.country_code,
            assignments.last_order_ts,
            assignments.first_order_ts,
            assignments.total_orders,
            assignments.voucher_amount,
            assignments.frequency_segment,
            assignments.recency_segment
        from assignments
        inner join
            days_of_assignments as days on assignments.assigned_on = days.assigned_on

    )

select *
from final
