-- A product has a display, or is in the mailer, in a store and week when any row of the
-- promotion data says so; a code of 0 says no. Only weeks with sales count. Weeks are
-- kept as a set, which takes a tenth of the time of a row per week.
with
    promotions as (select * from {{ ref("stg_complete_journey__promotions") }}),

    baskets as (select * from {{ ref("int_baskets_summed") }}),

    weeks_sold as (select {{ week_set("sold", "week_no") }} from baskets),

    promoted as (

        select
            product_id,
            store_id,
            {{ week_set("display", "week_no", "display <> '0'") }},
            {{ week_set("mailer", "week_no", "mailer <> '0'") }},
            {{ week_set("covered", "week_no") }}
        from promotions
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
