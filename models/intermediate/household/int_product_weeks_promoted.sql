-- A product has a display, or is in the mailer, in a store and week when any row of the
-- promotion data says so; a code of 0 says no. Only weeks with sales count, of the last
-- 126 of the window. Weeks are kept as a set, which takes a tenth of the time of a row
-- per week; the set's first is week 0.
with
    promotions as (select * from {{ ref("stg_complete_journey__promotions") }}),

    baskets as (select * from {{ ref("int_baskets_summed") }}),

    window_weeks as (select * from {{ ref("int_window_chosen") }}),

    weeks_sold as (

        select
            {{
                week_set(
                    "sold", "(baskets.week_no - window_weeks.first_promotion_week_no)"
                )
            }}
        from baskets
        cross join window_weeks
        where baskets.week_no >= window_weeks.first_promotion_week_no

    ),

    promotions_in_the_window as (

        select
            promotions.product_id,
            promotions.store_id,
            promotions.display,
            promotions.mailer,
            promotions.week_no - window_weeks.first_promotion_week_no as week_no
        from promotions
        cross join window_weeks
        where
            promotions.week_no
            between window_weeks.first_promotion_week_no and window_weeks.last_week_no

    ),

    promoted as (

        select
            product_id,
            store_id,
            {{ week_set("display", "week_no", "display <> '0'") }},
            {{ week_set("mailer", "week_no", "mailer <> '0'") }},
            {{ week_set("covered", "week_no") }}
        from promotions_in_the_window
        group by 1, 2

    ),

    final as (

        select
            promoted.product_id,
            promoted.store_id,
            {{ week_set_within("display", "sold") }},
            {{ week_set_within("mailer", "sold") }},
            {{ week_set_within("covered", "sold") }}
        from promoted
        cross join weeks_sold

    )

select *
from final
