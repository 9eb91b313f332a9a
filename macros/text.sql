{# Text without blanks around it. Engines differ on what else a bare trim removes. #}
{% macro trimmed(text) -%} trim(both ' ' from {{ text }}) {%- endmacro %}

{# Text without blanks of any kind around it: what `strip(BLANKS)` leaves in Python. #}
{% macro stripped(text) -%}
    trim(both {{ text_literal(blanks()) }} from {{ text }})
{%- endmacro %}

{# Text to order by: byte by byte on every engine, whatever the database's collation. #}
{% macro text_order(text) -%}
    {{ return(adapter.dispatch("text_order")(text)) }}
{%- endmacro %}

{% macro default__text_order(text) -%} {{ text }} {%- endmacro %}

{% macro postgres__text_order(text) -%} {{ text }} collate "C" {%- endmacro %}

{# Text with A to Z in lower case; engines differ on other letters. #}
{% macro lower_ascii(text) -%}
    translate({{ text }}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
{%- endmacro %}

{# A text as an SQL literal; none gives null. #}
{% macro text_literal(text) -%}
    {%- if text is none -%} {{ as_text("null") }}
    {%- else -%} {{ quoted(text) }}
    {%- endif -%}
{%- endmacro %}

{% macro quoted(text) -%} {{ return(adapter.dispatch("quoted")(text)) }} {%- endmacro %}

{% macro default__quoted(text) -%}
    {%- set escaped = text | replace("'", "''") -%} '{{ escaped }}'
{%- endmacro %}

{# A backslash escapes there. #}
{% macro spark__quoted(text) -%}
    {%- set escaped = text | replace("\\", "\\\\") | replace("'", "\\'") -%}
    '{{ escaped }}'
{%- endmacro %}

{# Whether a text as a whole is of a pattern: a regular expression that all engines read alike. #}
{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch("matches")(text, pattern)) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    {{ text }} ~ {{ text_literal("^(" ~ pattern ~ ")$") }}
{%- endmacro %}

{# Its $ also matches before a line break at the end. #}
{% macro spark__matches(text, pattern) -%}
    {{ text }} rlike {{ text_literal("^(" ~ pattern ~ ")\\z") }}
{%- endmacro %}

{# Text with accents composed (NFC). #}
{% macro composed(text) -%}
    {{ return(adapter.dispatch("composed")(text)) }}
{%- endmacro %}

{% macro default__composed(text) -%} normalize({{ text }}, nfc) {%- endmacro %}

{% macro duckdb__composed(text) -%} nfc_normalize({{ text }}) {%- endmacro %}

{# Spark has no function for it, but ICU, whose method it can call; not for a null. #}
{% macro spark__composed(text) -%}
    case
        when octet_length({{ text }}) <> length({{ text }})
        then
            reflect(
                'com.ibm.icu.text.Normalizer',
                'compose',
                coalesce({{ text }}, ''),
                false
            )
        else {{ text }}
    end
{%- endmacro %}

{# How many bytes a text takes in UTF-8. #}
{% macro bytes_of(text) -%}
    {{ return(adapter.dispatch("bytes_of")(text)) }}
{%- endmacro %}

{% macro default__bytes_of(text) -%} octet_length({{ text }}) {%- endmacro %}

{% macro duckdb__bytes_of(text) -%} strlen({{ text }}) {%- endmacro %}

{# A name as the data keep it: accents composed, without blanks around it. #}
{% macro spelled(text) -%} {{ stripped(composed(text)) }} {%- endmacro %}

{# What all spellings of a name have in common: as spelled, in lower case. #}
{% macro text_key(text) -%}
    case
        when {{ bytes_of(text) }} = length({{ text }})
        then {{ lower_ascii(stripped(text)) }}
        else
            {{
                composed(
                    "translate("
                    ~ spelled(text)
                    ~ ", "
                    ~ text_literal(letters("upper"))
                    ~ ", "
                    ~ text_literal(letters("lower"))
                    ~ ")"
                )
            }}
    end
{%- endmacro %}
