{# The outcomes of a raw voucher assignment, in the order in which they are checked. #}
{% macro voucher_outcomes() -%}
    {{
        return(
            [
                "kept",
                "empty order count",
                "order count is no whole number",
                "negative order count",
                "zero order count",
                "missing date",
                "first order after last order",
                "last order after assignment",
                "exact duplicate",
            ]
        )
    }}
{%- endmacro %}
