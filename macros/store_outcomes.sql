{# The reasons to drop a line of a dataset of the shop, in the order in which they are checked. #}
{% macro store_drop_reasons() -%}
    {{
        return(
            {
                "order_lines": ["unknown order"],
                "coupon_products": ["unknown coupon", "unknown product"],
            }
        )
    }}
{%- endmacro %}
