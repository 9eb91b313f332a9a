-- The lines that household analytics count: those without a reason to drop them.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("int_transactions_judged") }}),

    final as (

        select
            household_key,
            basket_id,
            product_id,
            store_id,
            quantity,
            sales_value,
            day,
            week_no
        from transactions
        where drop_reason is null

    )

select *
from final
