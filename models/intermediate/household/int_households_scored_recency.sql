-- Recency, 1 to 5: the later a household shopped last, the higher.
with
    households as (select * from {{ ref("int_households_measured") }}),

    final as (

        select
            household_key, {{ step("last_day", var("recency_last_days")) }} as r_score
        from households

    )

select *
from final
