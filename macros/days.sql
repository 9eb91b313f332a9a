{# Whole days, of 24 hours each, from one timestamp to a later one. #}
{% macro whole_days(earlier, later) -%}
    cast(extract(day from {{ later }} - {{ earlier }}) as integer)
{%- endmacro %}

{# The date of a day number, by the date of day 1; null outside the years 1 to 9999. #}
{% macro date_of(day) -%}
    case
        when {{ day }} between -731661 and 2920397
        then (select date from {{ ref("calendar") }}) + ({{ day }} - 1)
    end
{%- endmacro %}

{# Whether a date or time is finite; null where it is null. #}
{% macro is_finite(moment) -%}
    {{ return(adapter.dispatch("is_finite")(moment)) }}
{%- endmacro %}

{% macro default__is_finite(moment) -%} isfinite({{ moment }}) {%- endmacro %}

{# An infinite one comes as the first or last that a file can hold, far beyond these years. #}
{% macro spark__is_finite(moment) -%}
    extract(year from {{ moment }}) between -290000 and 290000
{%- endmacro %}
