-- Monetary value, 1 to 5: the fifth of all households in scope by the logarithm of
-- total sales.
with
    households as (select * from {{ ref("int_households_measured") }}),

    bounds as (select * from {{ ref("int_fifths_bounded") }}),

    logarithms as (

        select household_key, {{ log_of_sales("total_sales") }} as log_sales
        from households

    ),

    final as (

        select
            logarithms.household_key,
            {{ fifth("logarithms.log_sales", "bounds.monetary_bound") }} as m_score
        from logarithms
        inner join bounds on bounds.periods_ago = 0

    )

select *
from final
