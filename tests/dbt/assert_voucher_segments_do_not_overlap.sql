-- Fails if a segment ends before it starts, or a number is in two segments.
with
    segments as (select * from {{ ref("voucher_segments") }}),

    overlapping as (

        select
            segments.segment_name,
            segments.segment,
            segments.first_number,
            segments.last_number,
            others.segment as overlaps_with
        from segments
        left join
            segments as others
            on segments.segment_name = others.segment_name
            and segments.position < others.position
            and segments.first_number
            <= coalesce(others.last_number, segments.first_number)
            and others.first_number
            <= coalesce(segments.last_number, others.first_number)

    )

select *
from overlapping
where overlaps_with is not null or last_number < first_number
