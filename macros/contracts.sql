{# Contracts that are checked by counting: all of them on Spark, which enforces none, and keys on DuckDB. #}
{# The columns of a model's primary key. #}
{% macro key_of(model) -%}
    {%- set key = [] -%}
    {%- for constraint in model.constraints if constraint.type == "primary_key" -%}
        {%- do key.extend(constraint.columns) -%}
    {%- endfor -%}
    {%- for column in model.columns.values() -%}
        {%- if "primary_key" in column.constraints | map(attribute="type") -%}
            {%- do key.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(key) }}
{%- endmacro %}

{# Fails where rows of a relation repeat its key, or have a null in the key or a required column. #}
{% macro check_rows(relation, key, required) -%}
    {%- set counted -%}
        select
            count(*),
            {{ count_distinct(key) }}
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

{# Aggregate: in how many ways rows without a null in these columns differ in them. #}
{% macro count_distinct(columns) -%}
    {{ return(adapter.dispatch("count_distinct")(columns)) }}
{%- endmacro %}

{% macro default__count_distinct(columns) -%}
    count(
        distinct
        {% for column in columns -%}
            {{ adapter.quote(column) }}{{ ", " if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}

{% macro duckdb__count_distinct(columns) -%}
    count(
        distinct case
            when
                {% for column in columns -%}
                    {{ adapter.quote(column) }} is not null {{ "and" if not loop.last }}
                {%- endfor %}
            then
                (
                    {% for column in columns -%}
                        {{ adapter.quote(column) }}{{ ", " if not loop.last }}
                    {%- endfor %}
                )
        end
    )
{%- endmacro %}
