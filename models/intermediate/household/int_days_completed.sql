-- A day is complete when there is a later one. The days are those from the data's first
-- to the last complete one.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("int_transactions_gathered") }}),

    data_days as (

        select day, lead(day) over (order by day) as later_day
        from transactions
        where day is not null
        group by 1

    ),

    final as (

        select
            min(day) as first_day,
            -- Of one day there is no later one, so that none is complete.
            coalesce(
                max(case when later_day is not null then day end), min(day) - 1
            ) as last_day
        from data_days

    )

select *
from final
