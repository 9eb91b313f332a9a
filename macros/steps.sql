{# The number of the step that an expression is in: 1 up to and including the first bound, and so on. #}
{% macro step(expression, last_values) -%}
    case
        {%- for last_value in last_values %}
            when {{ expression }} <= {{ last_value }} then {{ loop.index }}
        {%- endfor %}
        else {{ last_values | length + 1 }}
    end
{%- endmacro %}
