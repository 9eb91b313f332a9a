-- Fails if a country or segment ranks another number of assignments than it has with a
-- voucher.
with
    segments as (

        select country_code, frequency_segment, recency_segment, count(*) as assignments
        from {{ ref("voucher_assignment_segmented") }}
        where country_code is not null and voucher_amount is not null
        group by 1, 2, 3

    ),

    segmented as (

        select
            country_code,
            'country' as segment_name,
            'all' as segment,
            sum(assignments) as assignments
        from segments
        group by 1
        {% for segment_name in ["frequency_segment", "recency_segment"] %}
            union all
            select
                country_code,
                '{{ segment_name }}' as segment_name,
                {{ segment_name }} as segment,
                sum(assignments) as assignments
            from segments
            where {{ segment_name }} is not null
            group by 1, 3
        {% endfor %}

    ),

    ranked as (

        select country_code, segment_name, segment, sum(times_used) as times_used
        from {{ ref("voucher_ranking") }}
        group by 1, 2, 3

    )

select
    segmented.country_code,
    segmented.segment_name,
    segmented.segment,
    segmented.assignments,
    ranked.times_used
from segmented
full join
    ranked
    on segmented.country_code = ranked.country_code
    and segmented.segment_name = ranked.segment_name
    and segmented.segment = ranked.segment
where
    segmented.assignments is null
    or ranked.times_used is null
    or segmented.assignments <> ranked.times_used
