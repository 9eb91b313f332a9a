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

{{ differs_from_python(found) }}
