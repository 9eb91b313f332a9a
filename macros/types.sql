{# A value as text, and as a number of 64 bits with a point: engines name these types differently. #}
{% macro as_text(value) -%}
    {{ return(adapter.dispatch("as_text")(value)) }}
{%- endmacro %}

{% macro default__as_text(value) -%} cast({{ value }} as text) {%- endmacro %}

{% macro spark__as_text(value) -%}
    cast({{ value }} as {{ spark_type("text") }})
{%- endmacro %}

{% macro as_double(value) -%}
    {{ return(adapter.dispatch("as_double")(value)) }}
{%- endmacro %}

{% macro default__as_double(value) -%}
    cast({{ value }} as double precision)
{%- endmacro %}

{% macro spark__as_double(value) -%}
    cast({{ value }} as {{ spark_type("double precision") }})
{%- endmacro %}
