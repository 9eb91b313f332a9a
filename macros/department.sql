{# The department that a text names: Sports is read as Sport. #}
{% macro department(expression) -%}
    case
        when {{ text_key(expression) }} in ('sport', 'sports')
        then 'Sport'
        else {{ spelled(expression) }}
    end
{%- endmacro %}
