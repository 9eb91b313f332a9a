-- Monetary value, 1 to 5: the fifth of all households in scope by the logarithm of
-- total sales.
with
    households as (select * from {{ ref("int_households_measured") }}),

    logarithms as (

        select household_key, {{ log_of_sales("total_sales") }} as log_sales
        from households

    ),

    bounds as (select {{ fifth_bounds("log_sales") }} as fifth_bounds from logarithms),

    final as (

        select
            logarithms.household_key,
            {{ fifth("logarithms.log_sales", "fifth_bounds") }} as m_score
        from logarithms
        cross join bounds

    )

select *
from final
