with
    source as (select * from {{ raw("customer", "cashback") }}),

    final as (

        select
            cast(account_number as bigint) as account_number,
            cast(cashback_month as date) as cashback_month,
            cast(card_spend as decimal(18, 2)) as card_spend,
            cast(cashback_amount as decimal(18, 2)) as cashback_amount
        from source

    )

select *
from final
