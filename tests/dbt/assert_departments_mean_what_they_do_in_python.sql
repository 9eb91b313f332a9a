-- Fails if a name, of a department for one, means something else in Python
-- (pollux/rules.py): a row per text, with what either makes of it.
-- depends_on: {{ ref("product_info") }}
{%- set found = {
    "department": department("given"),
    "spelled": spelled("given"),
    "text_key": text_key("given"),
} %}

{{ differs_from_python(found) }}
