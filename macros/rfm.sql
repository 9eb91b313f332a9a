{# Recency, 1 to 5, of a last shopping day in a window that ends on a day: the later, the higher. #}
{% macro recency_score(last_day, window_end) -%}
    case
        {%- for days in var("recency_days") %}
            when {{ window_end }} - {{ last_day }} >= {{ days }} then {{ loop.index }}
        {%- endfor %}
        else {{ var("recency_days") | length + 1 }}
    end
{%- endmacro %}

{# What frequency is scored by: baskets per day from first to last shopping day, both included. #}
{% macro baskets_per_day(baskets, first_day, last_day) -%}
    {{ divide(baskets, last_day ~ " - " ~ first_day ~ " + 1") }}
{%- endmacro %}

{# What monetary value is scored by. #}
{% macro log_of_sales(total_sales) -%}
    ln(cast({{ total_sales }} as double precision))
{%- endmacro %}
