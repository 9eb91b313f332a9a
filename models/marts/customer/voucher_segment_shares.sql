with
    assignments as (select * from {{ ref("voucher_assignment_segmented") }}),

    counted as (

        {% for segment_name in ["frequency_segment", "recency_segment"] %}
            select
                country_code,
                '{{ segment_name }}' as segment_name,
                coalesce({{ segment_name }}, 'none') as segment,
                count(*) as assignments,
                count(voucher_amount) as vouchers
            from assignments
            where country_code is not null
            group by 1, 2, 3
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}

    ),

    final as (

        select
            country_code,
            segment_name,
            segment,
            assignments,
            vouchers,
            {{
                divide(
                    "assignments",
                    "sum(assignments) over (partition by country_code, segment_name)",
                )
            }} as share
        from counted

    )

select *
from final
