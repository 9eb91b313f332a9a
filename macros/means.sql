{# Means in whole numbers, halves up: every engine rounds them alike, in whatever order it sums. #}
{# Aggregate: the mean amount of money, to the cent; null where there is none. #}
{% macro mean_money(amount) -%}
    cast(
        {{
            rounded_quotient(
                "sum(" ~ cents(amount) ~ ")", "nullif(count(" ~ amount ~ "), 0)"
            )
        }} * 0.01 as decimal(18, 2)
    )
{%- endmacro %}

{# What percent a part is of a whole, in millionths, rounded; null where the whole is not
   above 0. Amounts up to 100 million dollars. #}
{% macro percent_millionths(part, whole) -%}
    case
        when {{ whole }} > 0
        then
            cast(
                {{ rounded_quotient(cents(part) ~ " * 100000000", cents(whole)) }}
                as bigint
            )
    end
{%- endmacro %}

{# Aggregate: the mean of millionths of a percent, as percent with two decimals; null where there is none. #}
{% macro mean_percent(millionths) -%}
    cast(
        {{
            rounded_quotient(
                "sum(" ~ millionths ~ ")",
                "10000 * nullif(count(" ~ millionths ~ "), 0)",
            )
        }} * 0.01 as decimal(18, 2)
    )
{%- endmacro %}

{# The whole number nearest to a quotient of whole numbers, halves up; the divisor is above 0. #}
{% macro rounded_quotient(dividend, divisor) -%}
    {{
        floored_quotient(
            "(2 * (" ~ dividend ~ ") + (" ~ divisor ~ "))", "(2 * (" ~ divisor ~ "))"
        )
    }}
{%- endmacro %}

{# The greatest whole number not above a quotient of whole numbers; the divisor is above 0. #}
{% macro floored_quotient(dividend, divisor) -%}
    {{ return(adapter.dispatch("floored_quotient")(dividend, divisor)) }}
{%- endmacro %}

{# Division truncates towards zero, which is wrong for negative numbers: so the remainder goes first. #}
{% macro default__floored_quotient(dividend, divisor) -%}
    divide(
        {{ dividend }}
        - (({{ dividend }} % {{ divisor }}) + {{ divisor }}) % {{ divisor }},
        {{ divisor }}
    )
{%- endmacro %}

{% macro postgres__floored_quotient(dividend, divisor) -%}
    div(
        {{ dividend }}
        - (({{ dividend }} % {{ divisor }}) + {{ divisor }}) % {{ divisor }},
        {{ divisor }}
    )
{%- endmacro %}

{% macro spark__floored_quotient(dividend, divisor) -%}
    (
        (
            {{ dividend }}
            - (({{ dividend }} % {{ divisor }}) + {{ divisor }}) % {{ divisor }}
        )
        div {{ divisor }}
    )
{%- endmacro %}

{# An amount of money as whole cents. #}
{% macro cents(amount) -%} cast(({{ amount }}) * 100 as bigint) {%- endmacro %}
