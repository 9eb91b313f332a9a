{# Whole days, of 24 hours each, from one timestamp to a later one. #}
{% macro whole_days(earlier, later) -%}
    cast(extract(day from {{ later }} - {{ earlier }}) as integer)
{%- endmacro %}
