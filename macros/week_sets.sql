{# Sets of weeks of the study as bits: `<name>_early` holds weeks 0 to 62, `<name>_late` 63 to 125. #}
{# Aggregate: the set of weeks of the rows that meet a condition. #}
{% macro week_set(name, week_no, condition="1 = 1") -%}
    bit_or(
        case
            when {{ condition }} and {{ week_no }} < 63
            then cast(1 as bigint) << {{ week_no }}
            else 0
        end
    ) as {{ name }}_early,
    bit_or(
        case
            when {{ condition }} and {{ week_no }} >= 63
            then cast(1 as bigint) << ({{ week_no }} - 63)
            else 0
        end
    ) as {{ name }}_late
{%- endmacro %}

{# Aggregate: the weeks that are in any of the sets. #}
{% macro week_set_union(name) -%}
    bit_or({{ name }}_early) as {{ name }}_early,
    bit_or({{ name }}_late) as {{ name }}_late
{%- endmacro %}

{# The weeks of a set that are in another one as well. #}
{% macro week_set_within(name, other) -%}
    {{ name }}_early & {{ other }}_early as {{ name }}_early,
    {{ name }}_late & {{ other }}_late as {{ name }}_late
{%- endmacro %}

{# 1 where a week is in the set, else 0. #}
{% macro week_is_in(week_no, name) -%}
    case
        when {{ week_no }} < 63
        then ({{ name }}_early >> {{ week_no }}) & 1
        else ({{ name }}_late >> ({{ week_no }} - 63)) & 1
    end
{%- endmacro %}

{# Number of weeks in the set. #}
{% macro count_weeks(name) -%}
    {{ count_bits(name ~ "_early") }} + {{ count_bits(name ~ "_late") }}
{%- endmacro %}

{% macro count_bits(number) -%}
    {{ return(adapter.dispatch("count_bits")(number)) }}
{%- endmacro %}

{% macro default__count_bits(number) -%} bit_count({{ number }}) {%- endmacro %}

{% macro postgres__count_bits(number) -%}
    bit_count(cast({{ number }} as bit(64)))
{%- endmacro %}
