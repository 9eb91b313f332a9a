{# Name of the segment that a number is in, from the segment's first number (or 0) to its last (or without end); else null. #}
{% macro segment(expression, segments) -%}
    case
        {%- for segment in segments %}
            when
                {{ expression }} >= {{ segment.first | default(0) }}
                {%- if segment.last is defined %}
                    and {{ expression }} <= {{ segment.last }}
                {%- endif %}
            then '{{ segment.name }}'
        {%- endfor %}
    end
{%- endmacro %}
