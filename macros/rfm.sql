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
{% macro log_of_sales(total_sales) -%} ln({{ as_double(total_sales) }}) {%- endmacro %}

{# The last visit in words, by whole days from it to the window's end. #}
{% macro visit_in_words(days) -%}
    case
        when {{ days }} = 0
        then 'last visit on the last day'
        when {{ days }} = 1
        then 'last visit 1 day before the end'
        else 'last visit ' || {{ as_text(days) }} || ' days before the end'
    end
{%- endmacro %}

{# A frequency score in words: how many households shop less often. #}
{% macro frequency_in_words(f_score) -%}
    case
        when {{ f_score }} = 1
        then 'among the 20 % of households that shop least often'
        else
            'more often than '
            || {{ as_text("20 * (" ~ f_score ~ " - 1)") }}
            || ' % of households'
    end
{%- endmacro %}

{# A monetary score in words: the fifth that it stands for. #}
{% macro sales_in_words(m_score) -%}
    case
        {{ m_score }}
        when 1
        then 'sales in the lowest fifth'
        when 2
        then 'sales in the second-lowest fifth'
        when 3
        then 'sales in the middle fifth'
        when 4
        then 'sales in the second-highest fifth'
        else 'sales in the highest fifth'
    end
{%- endmacro %}
