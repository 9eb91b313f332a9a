with
    broadband_services as (
        select * from {{ ref("stg_customer_accounts__broadband_services") }}
    ),

    customers as (select * from {{ ref("customers") }}),

    final as (

        select
            broadband_services.account_number,
            broadband_services.service_number,
            broadband_services.package,
            broadband_services.speed_mbps,
            broadband_services.monthly_price,
            broadband_services.start_date,
            broadband_services.end_date,
            broadband_services.end_date is null as is_running
        from broadband_services
        inner join
            customers on broadband_services.account_number = customers.account_number

    )

select *
from final
