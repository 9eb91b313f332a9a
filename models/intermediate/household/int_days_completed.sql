-- A day is complete when there is a later one, or when somebody bought live on it: what
-- was answered live is in the next build, too. The days are those from the data's first
-- to the last complete one.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("int_transactions_gathered") }}),

    live_lines as (select * from {{ ref("stg_events__basket_lines") }}),

    data_days as (

        select day, lead(day) over (order by day) as later_day
        from transactions
        where day is not null
        group by 1

    ),

    days_with_later_ones as (

        select
            min(day) as first_day,
            -- Of one day there is no later one, so that none is complete.
            coalesce(
                max(case when later_day is not null then day end), min(day) - 1
            ) as last_day
        from data_days

    ),

    last_live_days as (select max(day) as day from live_lines),

    final as (

        select
            days_with_later_ones.first_day,
            greatest(days_with_later_ones.last_day, last_live_days.day) as last_day
        from days_with_later_ones
        cross join last_live_days

    )

select *
from final
