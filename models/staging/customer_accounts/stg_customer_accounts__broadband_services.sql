with
    source as (select * from {{ raw("customer", "broadband_services") }}),

    final as (

        select
            cast(account_number as bigint) as account_number,
            cast(service_number as bigint) as service_number,
            package,
            cast(speed_mbps as integer) as speed_mbps,
            cast(monthly_price as decimal(18, 2)) as monthly_price,
            cast(start_date as date) as start_date,
            cast(end_date as date) as end_date
        from source

    )

select *
from final
