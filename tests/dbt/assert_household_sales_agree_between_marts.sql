-- Fails if a household's total sales differ between its scores, days, weeks and
-- summary.
with
    daily as (

        select household_key, sum(total_sales) as total_sales
        from {{ ref("daily_hh_spend") }}
        group by 1

    ),

    weekly as (

        select household_key, sum(total_sales) as total_sales
        from {{ ref("household_weekly_sales") }}
        group by 1

    )

select
    rfm.household_key,
    rfm.total_sales,
    daily.total_sales as daily_sales,
    weekly.total_sales as weekly_sales,
    summary.total_sales as summary_sales
from {{ ref("household_rfm") }} as rfm
left join daily on rfm.household_key = daily.household_key
left join weekly on rfm.household_key = weekly.household_key
left join
    {{ ref("hh_summary") }} as summary on rfm.household_key = summary.household_key
where
    daily.household_key is null
    or weekly.household_key is null
    or rfm.total_sales <> daily.total_sales
    or rfm.total_sales <> weekly.total_sales
    or rfm.total_sales <> summary.total_sales
