{# The texts that mean something else in Python (pollux/rules.py): `found` has a rule and its
   expression over `given`; a row per text, with what either makes of it. #}
{% macro differs_from_python(found) -%}
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
                    {{ as_text(expression) }} as in_models
                from {{ rule }}_cases
                {%- if not loop.last %}
                    union all
                {%- endif %}
            {%- endfor %}

        )

    select *
    from compared
    where in_python is distinct from in_models
{%- endmacro %}
