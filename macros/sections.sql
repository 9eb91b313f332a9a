{# The fifteen sections of the shop, in the order in which they are served. #}
{% macro sections() -%}
    {{
        return(
            [
                "alcohol",
                "beverages",
                "concessions",
                "dairy",
                "drug",
                "garden",
                "grain_goods",
                "grocery",
                "home_family",
                "junk_food",
                "kitchen",
                "meat",
                "misc",
                "produce",
                "seasonal",
            ]
        )
    }}
{%- endmacro %}
