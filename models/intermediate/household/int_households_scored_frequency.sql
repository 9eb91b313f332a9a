-- Frequency, 1 to 5: the fifth of all households in scope by baskets per day.
with
    households as (select * from {{ ref("int_households_measured") }}),

    bounds as (

        select {{ fifth_bounds("baskets_per_day") }} as fifth_bounds from households

    ),

    final as (

        select
            households.household_key,
            {{ fifth("households.baskets_per_day", "fifth_bounds") }} as f_score
        from households
        cross join bounds

    )

select *
from final
