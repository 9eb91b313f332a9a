{# Text without blanks around it. Engines differ on what else a bare trim takes away. #}
{% macro trimmed(text) -%} trim(both ' ' from {{ text }}) {%- endmacro %}

{# Text to order by: byte by byte on every engine, whatever the database's collation. #}
{% macro text_order(text) -%}
    {{ return(adapter.dispatch("text_order")(text)) }}
{%- endmacro %}

{% macro default__text_order(text) -%} {{ text }} {%- endmacro %}

{% macro postgres__text_order(text) -%} {{ text }} collate "C" {%- endmacro %}
