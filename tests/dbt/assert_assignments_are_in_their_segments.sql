-- Fails if an assignment is not in the first segment whose released bounds hold its
-- number of orders or of days.
with
    assignments as (
        select
            assignment_id,
            frequency_segment,
            recency_segment,
            total_orders,
            {{ whole_days("last_order_ts", "timestamp") }} as days_since_last_order
        from {{ ref("voucher_assignment_segmented") }}
    ),

    segments as (select * from {{ ref("voucher_segments") }}),

    numbers as (

        select
            assignment_id,
            'frequency_segment' as segment_name,
            frequency_segment as segment,
            total_orders as number_measured
        from assignments
        union all
        select
            assignment_id,
            'recency_segment' as segment_name,
            recency_segment as segment,
            days_since_last_order as number_measured
        from assignments

    ),

    positions as (

        select
            numbers.assignment_id,
            numbers.segment_name,
            numbers.segment,
            min(segments.position) as position
        from numbers
        left join
            segments
            on numbers.segment_name = segments.segment_name
            and numbers.number_measured >= segments.first_number
            and (
                segments.last_number is null
                or numbers.number_measured <= segments.last_number
            )
        group by 1, 2, 3

    )

select positions.assignment_id, positions.segment_name, positions.segment
from positions
left join
    segments
    on positions.segment_name = segments.segment_name
    and positions.position = segments.position
where coalesce(positions.segment, '') <> coalesce(segments.segment, '')
