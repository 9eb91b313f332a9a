{# Field n of a line with fields separated by commas, without blanks around it; -1 is the last; null where blank. #}
{% macro line_field(line, n) -%}
    nullif({{ stripped("split_part(" ~ line ~ ", ',', " ~ n ~ ")") }}, '')
{%- endmacro %}

{# The items of a list such as [6; 14;], as 6;14; null for an empty list. #}
{% macro item_list(text) -%}
    nullif(trim(both ';' from translate({{ text }}, '[] ', '')), '')
{%- endmacro %}

{# Number of parts of a text. #}
{% macro count_parts(text, separator) -%}
    length({{ text }}) - length(replace({{ text }}, '{{ separator }}', '')) + 1
{%- endmacro %}

{# Whether any of the fields is longer than a key or name may be; false where all are null. #}
{% macro any_too_long(fields) -%}
    greatest(
        0 {%- for field in fields %}, coalesce(length({{ field }}), 0) {%- endfor %}
    )
    > {{ var("label_length") }}
{%- endmacro %}

{# The email that identifies a person; null where it has no @. #}
{% macro email_key(expression) -%}
    case when position('@' in {{ expression }}) > 0 then {{ text_key(expression) }} end
{%- endmacro %}

{# The kind of a conversion, from the word used in files; null for any other word. #}
{% macro conversion_type(text) -%}
    case
        {{ lower_ascii(text) }}
        when 'clickconversion'
        then 'click'
        when 'basketconversion'
        then 'basket'
        when 'purchaseconversion'
        then 'purchase'
    end
{%- endmacro %}

{# The total of a purchase in dollars; null where it cannot be read. #}
{% macro conversion_total(text) -%}
    cast(
        case
            when
                {{
                    matches(
                        text, "[0-9]{1," ~ var("money_digits") ~ "}([.][0-9]{1,2})?"
                    )
                }}
            then {{ text }}
        end as decimal(18, 2)
    )
{%- endmacro %}

{# The gender in a line of the loyalty list: its last field, if it has more than three. #}
{% macro gender_field(line) -%}
    case when {{ count_parts(line, ",") }} > 3 then {{ line_field(line, -1) }} end
{%- endmacro %}
