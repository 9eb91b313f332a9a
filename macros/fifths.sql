{# The linearly interpolated 20, 40, 60 and 80 % quantiles of an expression, as an array: one sort for all four. #}
{% macro fifth_bounds(expression) -%}
    percentile_cont({{ array_of([0.2, 0.4, 0.6, 0.8]) }}) within group (
        order by {{ as_double(expression) }}
    )
{%- endmacro %}

{# The fifth (1 is lowest) that an expression is in, by bounds in columns of this name and _1 to _4; a bound
   belongs to the lower fifth, so ties stay together. #}
{% macro fifth(expression, bound_name) -%}
    case
        {%- for bound in range(1, 5) %}
            when {{ as_double(expression) }} <= {{ bound_name }}_{{ bound }}
            then {{ bound }}
        {%- endfor %}
        else 5
    end
{%- endmacro %}

{% macro array_of(numbers) -%}
    {{ return(adapter.dispatch("array_of")(numbers)) }}
{%- endmacro %}

{% macro default__array_of(numbers) -%}
    array[{{ numbers | join(", ") }}]
{%- endmacro %}

{% macro spark__array_of(numbers) -%} array({{ numbers | join(", ") }}) {%- endmacro %}

{# The nth item of an array, from 1. #}
{% macro item_of(items, n) -%}
    {{ return(adapter.dispatch("item_of")(items, n)) }}
{%- endmacro %}

{% macro default__item_of(items, n) -%} {{ items }} [{{ n }}] {%- endmacro %}

{% macro spark__item_of(items, n) -%} {{ items }} [{{ n - 1 }}] {%- endmacro %}
