-- Fails if the accounts are not the customers plus those left out for their status.
with
    counted as (

        select
            (
                select count(*) from {{ ref("stg_customer_accounts__accounts") }}
            ) as accounts,
            (
                select count(*)
                from {{ ref("stg_customer_accounts__accounts") }}
                where
                    upper({{ trimmed("account_status") }})
                    = '{{ var("excluded_account_status") }}'
            ) as accounts_left_out,
            (select count(*) from {{ ref("customers") }}) as customers

    )

select *
from counted
where accounts <> accounts_left_out + customers
