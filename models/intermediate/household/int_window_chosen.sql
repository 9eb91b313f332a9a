-- Household analytics look at a window of days. It begins with the data's first day
-- and ends with the last complete one, or with a later day of live purchases. Or it is
-- that of a study, or has days by number. Its weeks are those of its days.
{{ config(materialized="table") }}

with
    complete_days as (select * from {{ ref("int_days_completed") }}),

    live_days as (select * from {{ ref("int_live_days_given") }}),

    last_live_days as (select max(day) as day from live_days),

    window_days as (

        select
            {{ window("first_day", otherwise="complete_days.first_day") }} as first_day,
            {{
                window(
                    "last_day",
                    otherwise="greatest(complete_days.last_day, last_live_days.day)",
                )
            }} as last_day
        from complete_days
        cross join last_live_days

    ),

    window_weeks as (

        select
            first_day,
            last_day,
            cast(
                {{ window("first_week_no", otherwise=week_of("first_day")) }} as integer
            ) as first_week_no,
            cast(
                {{ window("last_week_no", otherwise=week_of("last_day")) }} as integer
            ) as last_week_no
        from window_days

    ),

    final as (

        select
            *,
            greatest(
                first_week_no, last_week_no - {{ var("weeks_in_a_set") }} + 1
            ) as first_promotion_week_no
        from window_weeks

    )

select *
from final
