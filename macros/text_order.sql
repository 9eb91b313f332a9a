{# A text to sort by, byte for byte on every engine; without it PostgreSQL sorts by its locale. #}
{% macro text_order(expression) -%}
    {{ return(adapter.dispatch("text_order")(expression)) }}
{%- endmacro %}

{% macro default__text_order(expression) -%} {{ expression }} {%- endmacro %}

{% macro postgres__text_order(expression) -%}
    {{ expression }} collate "C"
{%- endmacro %}
