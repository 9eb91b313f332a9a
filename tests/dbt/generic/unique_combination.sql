{# Fails for combinations of the columns that more than one row has. #}
{% test unique_combination(model, columns) %}

    select {{ columns | join(", ") }}, count(*) as rows_found
    from {{ model }}
    group by {{ columns | join(", ") }}
    having count(*) > 1

{% endtest %}
