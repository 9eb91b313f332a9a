-- Segments are looked at as of the window's end, and of the end of every four weeks
-- before it that lie in the window as a whole.
with recursive
    window_days as (select * from {{ ref("int_window_chosen") }}),

    periods as (

        select last_day as period_end, 0 as periods_ago, first_day
        from window_days
        where first_day <= last_day
        union all
        select period_end - 28 as period_end, periods_ago + 1 as periods_ago, first_day
        from periods
        where period_end - 28 - 27 >= first_day

    ),

    final as (select period_end, periods_ago from periods)

select *
from final
