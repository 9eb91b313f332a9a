with
    source as (select * from {{ raw("customer", "initial_services") }}),

    final as (

        select
            cast(account_number as bigint) as account_number,
            service,
            cast(quantity as integer) as quantity,
            cast(ordered_date as date) as ordered_date
        from source

    )

select *
from final
