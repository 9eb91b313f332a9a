{# Field n of a line whose fields are set apart by commas, trimmed; -1 is the last; null where blank. #}
{% macro line_field(line, n) -%}
    nullif({{ trimmed("split_part(" ~ line ~ ", ',', " ~ n ~ ")") }}, '')
{%- endmacro %}

{# The items of a list such as [6; 14;] as 6;14; null where there are none. #}
{% macro item_list(text) -%}
    nullif(trim(translate({{ text }}, '[] ', ''), ';'), '')
{%- endmacro %}

{# Number of parts of a text. #}
{% macro count_parts(text, separator) -%}
    length({{ text }}) - length(replace({{ text }}, '{{ separator }}', '')) + 1
{%- endmacro %}

{# Whether any of the fields is longer than a key or name may be; false where all are null. #}
{% macro any_too_long(fields) -%}
    greatest(
        {%- for field in fields %}
            coalesce(length({{ field }}), 0){{ "," if not loop.last }}
        {%- endfor %}
    )
    > {{ var("label_length") }}
{%- endmacro %}

{# An email as members are found by: A to Z in lower case, on every engine; null where it has no @. #}
{% macro email_key(expression) -%}
    case
        when strpos({{ expression }}, '@') > 0
        then
            translate(
                {{ expression }},
                'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
                'abcdefghijklmnopqrstuvwxyz'
            )
    end
{%- endmacro %}
