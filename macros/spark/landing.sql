{# Makes the loaded data known to an engine that cannot name files in a query. #}
{% macro register_landing() -%}
    {{ return(adapter.dispatch("register_landing")()) }}
{%- endmacro %}

{% macro default__register_landing() %} {% endmacro %}

{# Columns are as declared, because an empty dataset has only a file that Spark passes over. Each run
   registers anew: the catalog of a server is lost when it ends, and files may have been added. #}
{% macro spark__register_landing() -%}
    {%- if execute and not target.name.startswith("dev") -%}
        {%- set landing = env_var("POLLUX_LANDING_URL", data_folder() ~ "/landing") -%}
        {%- for schema in graph.sources.values() | map(attribute="schema") | unique -%}
            {%- do run_query("create schema if not exists " ~ schema) -%}
        {%- endfor -%}
        {%- for source in graph.sources.values() -%}
            {%- set name = source.schema ~ "." ~ source.identifier -%}
            {%- do run_query("drop table if exists " ~ name) -%}
            {%- set table -%}
                create table {{ name }} (
                    {%- for column in source.columns.values() %}
                        {{ adapter.quote(column.name) }} {{ landed_type(column.data_type) }}
                        {{- "," if not loop.last }}
                    {%- endfor %}
                )
                using parquet
                options (pathGlobFilter '*.parquet')
                location {{
                    text_literal(
                        landing ~ "/" ~ source.source_name ~ "/" ~ source.name
                    )
                }}
            {%- endset -%}
            {%- do run_query(table) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{# How a declared type (docs/types.md) is stored in a landed file. #}
{% macro landed_type(type) -%}
    {{
        return(
            {
                "text": "string",
                "label": "string",
                "id": "bigint",
                "integer": "bigint",
                "day": "bigint",
                "money": "decimal(18, 2)",
                "number": "double",
            }.get(type, type)
        )
    }}
{%- endmacro %}
