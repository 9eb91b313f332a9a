with
    source as (select * from {{ raw("household", "causal_data") }}),

    final as (

        select
            cast(product_id as bigint) as product_id,
            cast(store_id as bigint) as store_id,
            cast(week_no as integer) as week_no,
            -- Codes of one letter, 37 million rows: the exact form takes twice as long.
            trim(display) as display,
            trim(mailer) as mailer
        from source

    )

select *
from final
