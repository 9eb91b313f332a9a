-- Recency, 1 to 5: the later before the window's end a household shopped last, the
-- higher.
with
    households as (select * from {{ ref("int_households_measured") }}),

    window_days as (select * from {{ ref("int_window_chosen") }}),

    final as (

        select
            households.household_key,
            {{ recency_score("households.last_day", "window_days.last_day") }}
            as r_score
        from households
        cross join window_days

    )

select *
from final
