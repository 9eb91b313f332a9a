{# The department that a text means: Sport where it says Sports. #}
{% macro department(expression) -%}
    case
        when {{ text_key(expression) }} in ('sport', 'sports')
        then 'Sport'
        else {{ spelled(expression) }}
    end
{%- endmacro %}
