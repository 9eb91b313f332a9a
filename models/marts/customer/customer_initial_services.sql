with
    initial_services as (
        select * from {{ ref("stg_customer_accounts__initial_services") }}
    ),

    customers as (select * from {{ ref("customers") }}),

    final as (

        select
            initial_services.account_number,
            initial_services.service,
            initial_services.quantity,
            initial_services.ordered_date
        from initial_services
        inner join
            customers on initial_services.account_number = customers.account_number

    )

select *
from final
