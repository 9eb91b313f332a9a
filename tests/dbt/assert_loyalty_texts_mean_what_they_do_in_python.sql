-- Fails if a text of the loyalty club means something else in Python
-- (pollux/rules.py): a row per text, with what either makes of it.
-- depends_on: {{ ref("members") }}
{%- set found = {
    "email_key": email_key(line_field("given", 1)),
    "conversion_type": conversion_type(line_field("given", 1)),
    "label": "case when not " ~ any_too_long(["given"]) ~ " then given end",
    "item_list": item_list(line_field("given", 1)),
    "conversion_total": conversion_total(
        line_field("replace(given, ',', ';')", 1)
    ),
    "gender_field": gender_field("given"),
} %}

with
    {%- for rule in found %}
        {{ rule }}_cases as (

            {%- for given, expected in rule_cases(rule) %}
                select
                    {{ text_literal(given) }} as given,
                    {{ text_literal(expected) }} as in_python
                {%- if not loop.last %}
                    union all
                {%- endif %}
            {%- endfor %}

        ),
    {%- endfor %}

    compared as (

        {%- for rule, expression in found.items() %}
            select
                {{ text_literal(rule) }} as rule,
                given,
                in_python,
                cast({{ expression }} as text) as in_models
            from {{ rule }}_cases
            {%- if not loop.last %}
                union all
            {%- endif %}
        {%- endfor %}

    )

select *
from compared
where in_python is distinct from in_models
