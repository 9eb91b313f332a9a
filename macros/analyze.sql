{# Refreshes the planner's statistics of a table just built; engines without a planner that needs them do nothing. #}
{% macro analyze(relation) -%}
    {{ return(adapter.dispatch("analyze")(relation)) }}
{%- endmacro %}

{% macro default__analyze(relation) %} {% endmacro %}

{% macro postgres__analyze(relation) -%}
    {%- if config.get("materialized") == "table" -%}
        analyze {{ relation }}
    {%- endif -%}
{%- endmacro %}
