{# Ratio as double; null where the divisor is zero. Engines differ on whole numbers: 7 / 2 is 3 or 3.5. #}
{% macro divide(dividend, divisor) -%}
    {{ as_double(dividend) }} / nullif({{ as_double(divisor) }}, 0)
{%- endmacro %}

{# Sum of an amount of money, to the cent; 0 where there are no rows. #}
{% macro sum_money(amount) -%}
    cast(coalesce(sum({{ amount }}), 0) as decimal(18, 2))
{%- endmacro %}
