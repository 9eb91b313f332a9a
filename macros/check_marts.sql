{# Fails where a mart does not declare what its release needs; an installation's build checks more. #}
{% macro check_marts() -%}
    {%- if execute -%}
        {%- set faults = [] -%}
        {%- for node in graph.nodes.values() -%}
            {%- if node.resource_type == "model" and node.fqn[1] == "marts" -%}
                {%- set missing = missing_in_mart(node) -%}
                {%- if missing -%}
                    {%- set path = (
                        node.patch_path or node.original_file_path
                    ).split("://")[-1] -%}
                    {%- do faults.append(
                        path
                        ~ adapter.dispatch("line_of_model")(path, node.name)
                        ~ ": "
                        ~ missing
                    ) -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if faults -%}
            {{ exceptions.raise_compiler_error(faults | sort | join("\n")) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# What a mart lacks, in words; empty where it is complete. #}
{% macro missing_in_mart(node) -%}
    {%- set constraints = (
        node.constraints + node.columns.values()
        | map(attribute="constraints")
        | sum(start=[])
    ) -%}
    {%- set kinds = constraints | map(attribute="type") | map("string") | list -%}
    {%- if not node.patch_path -%}
        {{
            (
                node.name
                ~ " has no YAML: write "
                ~ node.name
                ~ ".yml beside it, with its columns, primary key and config.meta.serving"
            )
        }}
    {%- elif not node.config.contract.enforced -%}
        {{ node.name ~ " has no contract: take contract.enforced: false out" }}
        {%- elif "primary_key" not in kinds -%}
        {{
            (
                node.name
                ~ " has no primary key: add constraints with "
                ~ "{type: primary_key, columns: [...]}"
            )
        }}
        {%- elif "serving" not in node.config.meta -%}
        {{
            (
                node.name
                ~ " does not say how it is served: add config.meta.serving with "
                ~ "{indexes: []}"
            )
        }}
    {%- endif -%}
{%- endmacro %}

{# The line at which a model begins in a YAML file, as ":4"; empty where the engine cannot read the file. #}
{% macro default__line_of_model(path, name) -%} {%- endmacro %}

{% macro duckdb__line_of_model(path, name) -%}
    {%- set before -%}
        select regexp_extract(content, '(?s)^(.*?)- name: {{ name }}\s', 1)
        from read_text('{{ invocation_args_dict.project_dir or "." }}/{{ path }}')
    {%- endset -%}
    {%- for row in run_query(before).rows -%}
        {{ ":" ~ (row[0].count("\n") + 1) }}
    {%- endfor -%}
{%- endmacro %}
