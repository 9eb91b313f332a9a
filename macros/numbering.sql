{# The groups of rows in a relation, by columns in an order, each with the number of rows in the groups
   before it. A window over all rows is one task on a cluster; rows are numbered in their groups,
   from there on. #}
{% macro groups_of_rows(relation, columns, order) -%}
    select
        {{ columns | join(", ") }},
        cast(
            coalesce(
                sum(count(*)) over (
                    order by {{ order | join(", ") }}
                    rows between unbounded preceding and 1 preceding
                ),
                0
            ) as bigint
        ) as rows_before
    from {{ relation }}
    group by {{ columns | join(", ") }}
{%- endmacro %}
