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
        {%- set key = [] -%}
        {%- for constraint in model.constraints if constraint.type == "primary_key" -%}
            {%- do key.extend(constraint.columns) -%}
        {%- endfor -%}
        {%- set required = [] -%}
        {%- for column in model.columns.values() -%}
            {%- set kinds = column.constraints | map(attribute="type") | list -%}
            {%- if "primary_key" in kinds -%}
                {%- do key.append(column.name) -%}
            {%- endif -%}
            {%- if "not_null" in kinds -%}
                {%- do required.append(column.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do check_rows(relation, key, required) -%}
    {%- endif -%}
{%- endmacro %}

{# Fails where rows of a relation repeat its key, or have a null in the key or a required column. #}
{% macro check_rows(relation, key, required) -%}
    {%- set counted -%}
        select
            count(*),
            count(distinct {% for column in key -%}
                {{ adapter.quote(column) }}{{ ", " if not loop.last }}
            {%- endfor %})
            {%- for column in required %}, count({{ adapter.quote(column) }}) {%- endfor %}
        from {{ relation }}
    {%- endset -%}
    {%- set found = run_query(counted).rows[0] -%}
    {%- set faults = [] -%}
    {%- if found[1] < found[0] -%}
        {%- do faults.append(
            "primary key (" ~ key
            | join(", ")
            ~ ") is null or repeated in "
            ~ (found[0] - found[1])
            ~ " rows"
        ) -%}
    {%- endif -%}
    {%- for column in required -%}
        {%- set nulls = found[0] - found[loop.index0 + 2] -%}
        {%- if nulls -%}
            {%- do faults.append(column ~ " is null in " ~ nulls ~ " rows") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if faults -%}
        {%- do exceptions.raise_database_error(
            relation ~ " breaks its constraints: " ~ faults | join("; ")
        ) -%}
    {%- endif -%}
{%- endmacro %}
