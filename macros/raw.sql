{# The raw data of a dataset: the small retailer's seed on a development target, else the loaded data. #}
{% macro raw(domain, dataset) -%}
    {%- if target.name.startswith("dev") -%}
        {%- set seed = "raw_" ~ domain ~ "__" ~ dataset -%}
        {%- if not execute -%}
            {% do require_seed(seed, domain, dataset) %}
        {%- endif -%}
        {{ ref(seed) }}
    {%- else -%} {{ source(domain, dataset) }}
    {%- endif -%}
{%- endmacro %}

{# Says what to write if a dataset has no seed; dbt itself would only say that a node was not found. #}
{% macro require_seed(seed, domain, dataset) -%}
    {%- set found = [] -%}
    {%- for file in ref.manifest.files if file.endswith("/" ~ seed ~ ".csv") -%}
        {%- do found.append(file) -%}
    {%- endfor -%}
    {%- if not found -%}
        {{
            exceptions.raise_compiler_error(
                "dataset "
                ~ domain
                ~ "."
                ~ dataset
                ~ " has no seed, which target "
                ~ target.name
                ~ " builds from: write seeds/"
                ~ seed
                ~ ".csv (its column names in the first line are enough for an empty one), "
                ~ "and enter it in seeds/_raw_"
                ~ domain
                ~ "__seeds.yml with its columns as text"
            )
        }}
    {%- endif -%}
{%- endmacro %}
