{# A bound of the window: that of the study, the day by number, or otherwise what the data say.
   It is dispatched for sqlfluff, which has neither environment nor variables. #}
{% macro window(name, otherwise) -%}
    {{ return(adapter.dispatch("window")(name, otherwise)) }}
{%- endmacro %}

{# Plain dbt builds from seeds of the study. Weeks are not set by number. #}
{% macro default__window(name, otherwise) -%}
    {%- set plain = target.name.startswith("dev") -%}
    {%- set study = env_var("POLLUX_STUDY", "complete_journey" if plain else "") -%}
    {%- set word = {"first_day": "first", "last_day": "latest"}.get(name) -%}
    {%- set day = var("scope_" ~ name) if word else none -%}
    {%- if study in var("studies") -%} {{ var("studies")[study][name] }}
    {%- elif study -%}
        {{
            exceptions.raise_compiler_error(
                "POLLUX_STUDY is "
                ~ study
                ~ ", which dbt_project.yml does not have among its studies: take "
                ~ (var("studies") | join(" or "))
                ~ ", or leave it out for a window that moves on with the data"
            )
        }}
    {%- elif day == word -%} {{ otherwise }}
    {%- elif day is integer -%} {{ day }}
    {%- else -%}
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
{%- endmacro %}

{# The week that a day is in. #}
{% macro week_of(day) -%}
    {{ floored_quotient("(" ~ day ~ " + 8)", "7") }}
{%- endmacro %}
