{# The reasons to drop a line of a basket, in the order in which they are checked. #}
{% macro transaction_drop_reasons() -%}
    {{
        return(
            [
                "blank field",
                "nothing bought or paid",
                "outside the days in scope",
                "outside the weeks in scope",
                "unknown product",
                "fuel",
                "household of one day",
            ]
        )
    }}
{%- endmacro %}
