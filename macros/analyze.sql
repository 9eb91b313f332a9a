{# Refreshes the planner's statistics of a table just built, on engines whose planner needs them. #}
{% macro analyze(relation) -%}
    {{ return(adapter.dispatch("analyze")(relation)) }}
{%- endmacro %}

{% macro default__analyze(relation) %} {% endmacro %}

{% macro postgres__analyze(relation) -%}
    {%- if config.get("materialized") == "table" -%}
        analyze {{ relation }}
    {%- endif -%}
{%- endmacro %}
