{# Sets of weeks as the bits of a bigint: 63 fit, so a set belongs to a span of 63 weeks. #}
{# First week of the span that a week lies in. #}
{% macro week_span(week_no) -%}
    case when {{ week_no }} < 63 then 0 else 63 end
{%- endmacro %}

{# Aggregate: the set of the weeks of the rows that meet a condition. #}
{% macro week_set(week_no, span_start, condition="1 = 1") -%}
    bit_or(
        case
            when {{ condition }}
            then cast(1 as bigint) << ({{ week_no }} - {{ span_start }})
            else 0
        end
    )
{%- endmacro %}

{# 1 where a week is in the set, else 0. #}
{% macro week_is_in(week_no, span_start, weeks) -%}
    (({{ weeks }} >> ({{ week_no }} - {{ span_start }})) & 1)
{%- endmacro %}

{# Number of weeks in a set. #}
{% macro count_weeks(weeks) -%}
    {{ return(adapter.dispatch("count_weeks")(weeks)) }}
{%- endmacro %}

{% macro default__count_weeks(weeks) -%} bit_count({{ weeks }}) {%- endmacro %}

{% macro postgres__count_weeks(weeks) -%}
    bit_count(cast({{ weeks }} as bit(64)))
{%- endmacro %}
