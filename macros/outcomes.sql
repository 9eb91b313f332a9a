{# A row for "kept" and for each reason to drop a line, by dataset: a report also has those of no line. #}
{% macro outcomes_by_dataset(drop_reasons) -%}
    {%- set rows = [] -%}
    {%- for dataset, reasons in drop_reasons.items() -%}
        {%- for outcome in ["kept"] + reasons -%}
            {%- do rows.append(
                "select '"
                ~ dataset
                ~ "' as dataset, '"
                ~ outcome
                ~ "' as outcome"
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ rows | join("\n        union all\n        ") }}
{%- endmacro %}
