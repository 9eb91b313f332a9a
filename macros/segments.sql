{# Name of the segment, from its first number (or 0) to its last (or on and on), that a number falls in; null where none. #}
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
