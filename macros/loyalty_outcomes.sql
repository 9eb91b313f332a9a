{# The reasons to drop a line of each loyalty dataset, in the order in which they are checked. #}
{% macro loyalty_drop_reasons() -%}
    {{
        return(
            {
                "loyalty_list": [
                    "blank line",
                    "no email",
                    "field too long",
                    "repeated member",
                ],
                "conversions": [
                    "blank line",
                    "missing promotion",
                    "unknown conversion type",
                    "no email",
                    "missing channel",
                    "field too long",
                    "unreadable total",
                ],
            }
        )
    }}
{%- endmacro %}
