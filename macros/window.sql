{# A bound of the window: that of the study, the day by number, or otherwise what the data say. #}
{% macro window(name, otherwise) -%}
    {{ return(adapter.dispatch("window")(name, otherwise)) }}
{%- endmacro %}

{% macro default__window(name, otherwise) -%}
    {%- set study = env_var(
        "POLLUX_STUDY",
        (
            "complete_journey"
            if target.name in ["dev", "dev_postgres"]
            else ""
        ),
    ) -%}
    {%- if study -%}
        {%- if study not in var("studies") -%}
            {{
                exceptions.raise_compiler_error(
                    "POLLUX_STUDY is "
                    ~ study
                    ~ ", which dbt_project.yml does not have among its studies: take "
                    ~ (var("studies") | join(" or "))
                    ~ ", or leave it out for a window that moves on with the data"
                )
            }}
        {%- endif -%}
        {{ return(var("studies")[study][name]) }}
    {%- endif -%}
    {%- set word = {"first_day": "first", "last_day": "latest"}.get(name) -%}
    {%- set day = var("scope_" ~ name) if word else none -%}
    {%- if day == word -%} {{ return(otherwise) }} {%- endif -%}
    {%- if day is not integer -%}
        {{
            exceptions.raise_compiler_error(
                "scope_"
                ~ name
                ~ " is "
                ~ day
                ~ ": write "
                ~ word
                ~ " or the number of a day"
            )
        }}
    {%- endif -%}
    {{ return(day) }}
{%- endmacro %}

{# The week that a day is in. #}
{% macro week_of(day) -%}
    {{ floored_quotient("(" ~ day ~ " + 8)", "7") }}
{%- endmacro %}
