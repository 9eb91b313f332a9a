{# Fails for rows with a date or time that is infinite in one of the columns: clients and pages cannot take it. #}
{% test finite(model, columns) %}

    select {{ columns | join(", ") }}
    from {{ model }}
    where
        {% for column in columns -%}
            {{ "or " if not loop.first }} not {{ is_finite(column) }}
        {% endfor %}

{% endtest %}
