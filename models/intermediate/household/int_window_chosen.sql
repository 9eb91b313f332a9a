-- Household analytics look at a window of days. It begins with the data's first day
-- and ends with the last complete one: a day is complete when there is a later one.
-- Or it is that of a study, or has days by number. Its weeks are those of its days.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("int_transactions_gathered") }}),

    data_days as (

        select day, lead(day) over (order by day) as later_day
        from transactions
        where day is not null
        group by 1

    ),

    complete_days as (

        select
            min(day) as first_day,
            -- Of one day there is no later one, so that none is complete.
            coalesce(
                max(case when later_day is not null then day end), min(day) - 1
            ) as last_day
        from data_days

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
