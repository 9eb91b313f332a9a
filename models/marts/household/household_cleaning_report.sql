with
    transactions as (select * from {{ ref("int_transactions_judged") }}),

    outcomes as (

        {% for outcome in ["kept"] + transaction_drop_reasons() %}
            select '{{ outcome }}' as outcome
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}

    ),

    counted as (

        select coalesce(drop_reason, 'kept') as outcome, count(*) as lines
        from transactions
        group by 1

    ),

    final as (

        select outcomes.outcome, coalesce(counted.lines, 0) as lines
        from outcomes
        left join counted on outcomes.outcome = counted.outcome

    )

select *
from final
