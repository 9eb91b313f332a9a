{# Where Spark keeps what it builds: Parquet, every build in a folder of its own, so that what readers of
   an earlier one read stays as it is. Spark writes _SUCCESS into a table's folder when it is whole. #}
{% macro spark__location_clause() -%}
    location
    {{
        text_literal(
            env_var("POLLUX_LAKE_URL", data_folder() ~ "/lake")
            ~ "/"
            ~ invocation_id
            ~ "/"
            ~ model.schema
            ~ "/"
            ~ model.alias
        )
    }}
{%- endmacro %}

{% macro spark__file_format_clause() -%} using parquet {%- endmacro %}

{# As an absolute path, because Spark's server has a working folder of its own. #}
{% macro data_folder() -%}
    {%- set folder = env_var("POLLUX_DATA_DIR", "data") -%}
    {{ return(folder if folder.startswith("/") else env_var("PWD") ~ "/" ~ folder) }}
{%- endmacro %}
