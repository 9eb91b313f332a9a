{# A table in one statement of one transaction, the one before dropped first: until the commit that is
   the one that others see, and it stays where the model fails. dbt would make the new one beside it,
   rename both and drop: eight statements for four. #}
{% materialization table, adapter = "duckdb" %}
    {%- set table = this.incorporate(type="table") -%}
    {%- set before = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement("main") -%}
        {%- if before is not none -%}
            {{ "drop " ~ before.type ~ " if exists " ~ before ~ ";" }}
        {%- endif %}
        {{ create_table_as(False, table, compiled_code) }}
    {%- endcall -%}
    {%- if config.get("contract").enforced -%}
        {%- do check_rows(table, key_of(model), []) -%}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({"relations": [table]}) }}
{% endmaterialization %}

{# A view in the same way. #}
{% materialization view, adapter = "duckdb" %}
    {%- set view = this.incorporate(type="view") -%}
    {%- set before = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks) }}
    {%- if config.get("contract").enforced -%}
        {{ get_assert_columns_equivalent(compiled_code) }}
    {%- endif -%}
    {%- call statement("main") -%}
        {%- if before is not none and not before.is_view -%}
            {{ "drop table if exists " ~ before ~ ";" }}
        {%- endif %}
        create or replace view {{ view }} as (
        {{ compiled_code }}
        )
    {%- endcall -%}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({"relations": [view]}) }}
{% endmaterialization %}

{# Columns of a contract without its key, whose index would take seven times as long as counting. #}
{% macro duckdb__get_table_columns_and_constraints() -%}
    (
    {%- for column in adapter.render_raw_columns_constraints(
        raw_columns=model["columns"]
    ) %}
        {{ column }}{{ "," if not loop.last }}
    {%- endfor %}
    )
{%- endmacro %}
