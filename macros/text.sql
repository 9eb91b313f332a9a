{# Text without blanks around it. Engines differ on what else a bare trim takes away. #}
{% macro trimmed(text) -%} trim(both ' ' from {{ text }}) {%- endmacro %}

{# Text to order by: byte by byte on every engine, whatever the database's collation. #}
{% macro text_order(text) -%}
    {{ return(adapter.dispatch("text_order")(text)) }}
{%- endmacro %}

{% macro default__text_order(text) -%} {{ text }} {%- endmacro %}

{% macro postgres__text_order(text) -%} {{ text }} collate "C" {%- endmacro %}

{# Text with A to Z in lower case; what else has a lower case differs between engines. #}
{% macro lower_ascii(text) -%}
    translate({{ text }}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
{%- endmacro %}

{# A text as a literal of SQL; null where there is none. #}
{% macro text_literal(text) -%}
    {%- if text is none -%} cast(null as text)
    {%- else -%} {%- set quoted = text | replace("'", "''") -%} '{{ quoted }}'
    {%- endif -%}
{%- endmacro %}
