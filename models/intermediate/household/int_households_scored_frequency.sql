-- Frequency, 1 to 5: the fifth of all households in scope by baskets per day.
with
    households as (select * from {{ ref("int_households_measured") }}),

    bounds as (select * from {{ ref("int_fifths_bounded") }}),

    final as (

        select
            households.household_key,
            {{ fifth("households.baskets_per_day", "bounds.frequency_bound") }}
            as f_score
        from households
        inner join bounds on bounds.periods_ago = 0

    )

select *
from final
