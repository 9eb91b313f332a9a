{# The raw data of a dataset: the small retailer's seed on a development target, else what was loaded. #}
{% macro raw(domain, dataset) -%}
    {%- if target.name in ["dev", "dev_postgres"] -%}
        {{ ref("raw_" ~ domain ~ "__" ~ dataset) }}
    {%- else -%} {{ source(domain, dataset) }}
    {%- endif -%}
{%- endmacro %}
