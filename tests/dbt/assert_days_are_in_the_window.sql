-- Fails if a mart has a day before or after those that household analytics look at.
with
    days as (

        select day
        from {{ ref("daily_hh_spend") }}
        union
        select day
        from {{ ref("daily_campaign_sales") }}
        union
        select first_day
        from {{ ref("household_rfm") }}
        union
        select last_day
        from {{ ref("household_rfm") }}

    ),

    window_days as (select * from {{ ref("int_window_chosen") }})

select days.day, window_days.first_day, window_days.last_day
from days
cross join window_days
where days.day not between window_days.first_day and window_days.last_day
