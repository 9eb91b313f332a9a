with
    loyalty_lines as (select * from {{ ref("int_loyalty_lines_judged") }}),

    conversions as (select * from {{ ref("int_conversions_judged") }}),

    outcomes as ({{ outcomes_by_dataset(loyalty_drop_reasons()) }}),

    judged as (

        select 'loyalty_list' as dataset, coalesce(drop_reason, 'kept') as outcome
        from loyalty_lines
        union all
        select 'conversions' as dataset, coalesce(drop_reason, 'kept') as outcome
        from conversions

    ),

    final as (

        select outcomes.dataset, outcomes.outcome, count(judged.outcome) as lines
        from outcomes
        left join
            judged
            on outcomes.dataset = judged.dataset
            and outcomes.outcome = judged.outcome
        group by 1, 2

    )

select *
from final
