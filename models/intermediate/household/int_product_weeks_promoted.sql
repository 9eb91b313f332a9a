-- A product has a display, or stands in the mailer, in a store and week when any row
-- of the
-- promotion data says so; a code of 0 says no. Only weeks between the first and the
-- last sale
-- count. A set of weeks per product, store and span takes a tenth of the time that a
-- row per
-- week does.
with
    promotions as (select * from {{ ref("stg_complete_journey__promotions") }}),

    baskets as (select * from {{ ref("int_baskets_summed") }}),

    weeks_in_scope as (

        select min(week_no) as first_week, max(week_no) as last_week from baskets

    ),

    promotions_in_scope as (

        select promotions.*, {{ week_span("promotions.week_no") }} as span_start
        from promotions
        inner join
            weeks_in_scope
            on promotions.week_no
            between weeks_in_scope.first_week and weeks_in_scope.last_week

    ),

    final as (

        select
            product_id,
            store_id,
            span_start,
            {{ week_set("week_no", "span_start", "display <> '0'") }} as display_weeks,
            {{ week_set("week_no", "span_start", "mailer <> '0'") }} as mailer_weeks,
            {{ week_set("week_no", "span_start") }} as covered_weeks
        from promotions_in_scope
        group by 1, 2, 3

    )

select *
from final
