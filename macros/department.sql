{# The department that a text means: Sport where it says Sports. #}
{% macro department(expression) -%}
    case
        when {{ lower_ascii(expression) }} in ('sport', 'sports')
        then 'Sport'
        else {{ expression }}
    end
{%- endmacro %}
