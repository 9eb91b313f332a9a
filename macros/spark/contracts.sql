{# How Spark names a type that contracts and seeds name as DuckDB and PostgreSQL do. #}
{% macro spark_type(type) -%}
    {{ return({"text": "string", "double precision": "double"}.get(type, type)) }}
{%- endmacro %}

{# dbt's cast of a contract's column, by which it compares types. #}
{% macro spark__cast(field, type) -%}
    cast({{ field }} as {{ spark_type(type) }})
{%- endmacro %}

{# Spark enforces neither primary key nor not null: so a mart just written is counted, and its model
   fails where a row breaks them, as it would elsewhere. #}
{% macro spark__persist_constraints(relation, model) -%}
    {%- if config.get("contract").enforced -%}
        {%- set required = [] -%}
        {%- for column in model.columns.values() -%}
            {%- if "not_null" in column.constraints | map(attribute="type") -%}
                {%- do required.append(column.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do check_rows(relation, key_of(model), required) -%}
    {%- endif -%}
{%- endmacro %}
