-- A product has a display, or stands in the mailer, in a store and week when any row
-- says so;
-- a code of 0 says no.
with
    promotions as (select * from {{ ref("stg_complete_journey__promotions") }}),

    final as (

        select
            product_id,
            store_id,
            week_no,
            max(case when display <> '0' then 1 else 0 end) as on_display,
            max(case when mailer <> '0' then 1 else 0 end) as in_mailer
        from promotions
        group by 1, 2, 3

    )

select *
from final
