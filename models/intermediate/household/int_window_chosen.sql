-- Household analytics look at a window of days. It begins with the first day of the
-- data and ends with the last complete one: a day is complete when there is a later
-- one.
-- Or it is that of a study, or has days by number. Its weeks are those of its days.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("stg_complete_journey__transactions") }}),

    data_days as (select min(day) as first_day, max(day) as last_day from transactions),

    complete_days as (

        select
            min(data_days.first_day) as first_day,
            -- Of one day there is no later one, so that none is complete.
            coalesce(
                max(
                    case
                        when transactions.day < data_days.last_day then transactions.day
                    end
                ),
                min(data_days.first_day) - 1
            ) as last_day
        from data_days
        left join transactions on transactions.day is not null

    ),

    window_days as (

        select
            {{ window("first_day", otherwise="first_day") }} as first_day,
            {{ window("last_day", otherwise="last_day") }} as last_day
        from complete_days

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
