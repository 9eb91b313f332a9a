-- Frequency segment: the more orders so far, the later the segment.
with
    assignments as (select * from {{ ref("int_voucher_assignments_kept") }}),

    final as (

        select
            *,
            {{ segment("total_orders", var("frequency_segments")) }}
            as frequency_segment
        from assignments

    )

select *
from final
