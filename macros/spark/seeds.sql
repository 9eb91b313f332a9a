{# dbt's own variants of these know no type `text`, write a null as the text None, and do not escape quotes. #}
{% macro spark__create_csv_table(model, agate_table) -%}
    {%- set types = model.config.column_types -%}
    {%- set sql -%}
        create table {{ this }} (
            {%- for column in agate_table.column_names %}
                {{ adapter.quote(column) }} {{ spark_type(types[column]) }}
                {{- "," if not loop.last }}
            {%- endfor %}
        )
        {{ file_format_clause() }}
        {{ location_clause() }}
    {%- endset -%}
    {%- call statement("_") -%} {{ sql }} {%- endcall -%}
    {{ return(sql) }}
{%- endmacro %}

{% macro spark__load_csv_rows(model, agate_table) -%}
    {%- set types = model.config.column_types -%}
    {%- set names = agate_table.column_names -%}
    {%- for chunk in agate_table.rows | batch(get_batch_size()) -%}
        {%- set sql -%}
            insert into {{ this }}
            select
                {%- for column in names %}
                    cast({{ adapter.quote(column) }} as {{ spark_type(types[column]) }})
                    {{- "," if not loop.last }}
                {%- endfor %}
            from values
                {%- for row in chunk %}
                    (
                        {%- for value in row -%}
                            {{ "null" if value is none else text_literal(value | string) }}
                            {{- "," if not loop.last }}
                        {%- endfor -%}
                    )
                    {{- "," if not loop.last }}
                {%- endfor %}
                as seed(
                    {%- for column in names -%}
                        {{ adapter.quote(column) }}{{ "," if not loop.last }}
                    {%- endfor -%}
                )
        {%- endset -%}
        {%- do adapter.add_query(sql, abridge_sql_log=true) -%}
    {%- endfor -%}
    {{ return("") }}
{%- endmacro %}
