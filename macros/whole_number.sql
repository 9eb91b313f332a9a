{# A text that holds a whole number of at most nine digits, such as `2` or `2.0`, as integer; else null. #}
{% macro whole_number(text) -%}
    case
        when {{ matches(text, " *[+-]?0*[0-9]{1,9}([.]0*)? *") }}
        then cast(split_part({{ trimmed(text) }}, '.', 1) as integer)
    end
{%- endmacro %}
