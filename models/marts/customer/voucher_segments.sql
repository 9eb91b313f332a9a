-- The segments that vouchers are assigned and chosen by, from the variables.
with
    final as (

        {% for segment_name in ["frequency_segment", "recency_segment"] %}
            {%- set outer = loop %}
            {%- for segment in var(segment_name ~ "s") %}
                {%- if not (outer.first and loop.first) %}
                    union all
                {%- endif %}
                select
                    '{{ segment_name }}' as segment_name,
                    '{{ segment.name }}' as segment,
                    {{ loop.index }} as position,
                    {{ segment.first | default(0) }} as first_number,
                    cast({{ segment.last | default("null") }} as integer) as last_number
            {%- endfor %}
        {% endfor %}

    )

select *
from final
