-- Accounts of status TML are not customers.
with
    accounts as (select * from {{ ref("stg_customer_accounts__accounts") }}),

    final as (

        select *
        from accounts
        where
            account_status is null
            or upper({{ trimmed("account_status") }})
            <> '{{ var("excluded_account_status") }}'

    )

select *
from final
