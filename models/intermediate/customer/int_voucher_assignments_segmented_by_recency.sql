-- Recency segment: by whole days, of 24 hours, from the last order to the assignment.
with
    assignments as (
        select * from {{ ref("int_voucher_assignments_segmented_by_frequency") }}
    ),

    timed as (

        select
            *, {{ whole_days("last_order_ts", "timestamp") }} as days_since_last_order
        from assignments

    ),

    final as (

        select
            *,
            {{ segment("days_since_last_order", var("recency_segments")) }}
            as recency_segment
        from timed

    )

select *
from final
