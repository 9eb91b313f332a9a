{# A number as money or percent with two decimals. By way of its shortest text: engines round a double
   that lies near a half differently, and 5.3100000000000005 is 5.31. #}
{% macro two_decimals(number) -%}
    cast(cast({{ number }} as text) as decimal(18, 2))
{%- endmacro %}
