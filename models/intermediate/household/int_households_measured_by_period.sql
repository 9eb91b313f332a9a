-- A household's activity, as in int_households_measured, from the window's first day
-- to the end of each period; from the period on in which it shopped on a second day.
{{ config(materialized="table") }}

with
    baskets as (select * from {{ ref("int_baskets_summed") }}),

    periods as (select * from {{ ref("int_periods_listed") }}),

    period_bounds as (

        select min(period_end) as first_period_end, max(period_end) as last_period_end
        from periods

    ),

    baskets_in_periods as (

        select
            baskets.household_key,
            baskets.day,
            baskets.sales_value,
            -- What lies before the first whole period counts in it.
            greatest(
                period_bounds.last_period_end
                - 28
                * cast(
                    {{
                        floored_quotient(
                            "(period_bounds.last_period_end - baskets.day)", "28"
                        )
                    }} as integer
                ),
                period_bounds.first_period_end
            ) as period_end
        from baskets
        cross join period_bounds

    ),

    summed as (

        select
            household_key,
            period_end,
            min(day) as first_day,
            max(day) as last_day,
            count(*) as baskets,
            sum(sales_value) as sales_value
        from baskets_in_periods
        group by 1, 2

    ),

    first_periods as (

        select household_key, min(period_end) as first_period_end from summed group by 1

    ),

    households_in_periods as (

        select first_periods.household_key, periods.period_end, periods.periods_ago
        from first_periods
        inner join periods on first_periods.first_period_end <= periods.period_end

    ),

    cumulated as (

        select
            households.household_key,
            households.period_end,
            households.periods_ago,
            min(summed.first_day) over up_to_the_end as first_day,
            max(summed.last_day) over up_to_the_end as last_day,
            cast(sum(summed.baskets) over up_to_the_end as bigint) as baskets,
            cast(
                sum(summed.sales_value) over up_to_the_end as decimal(18, 2)
            ) as total_sales
        from households_in_periods as households
        left join
            summed
            on households.household_key = summed.household_key
            and households.period_end = summed.period_end
        window
            up_to_the_end as (
                partition by households.household_key order by households.period_end
            )

    ),

    final as (

        select
            household_key,
            period_end,
            periods_ago,
            first_day,
            last_day,
            baskets,
            {{ baskets_per_day("baskets", "first_day", "last_day") }}
            as baskets_per_day,
            total_sales
        from cumulated
        where first_day < last_day

    )

select *
from final
