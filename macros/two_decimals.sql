{# A number as money or percent with two decimals. It goes through the number's shortest text, because
   engines round a double near a half differently; 5.3100000000000005 is 5.31. #}
{% macro two_decimals(number) -%}
    cast({{ as_text(number) }} as decimal(18, 2))
{%- endmacro %}
