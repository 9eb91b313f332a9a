with
    cashback as (select * from {{ ref("stg_customer_accounts__cashback") }}),

    customers as (select * from {{ ref("customers") }}),

    final as (

        select
            cashback.account_number,
            cashback.cashback_month,
            cashback.card_spend,
            cashback.cashback_amount
        from cashback
        inner join customers on cashback.account_number = customers.account_number

    )

select *
from final
