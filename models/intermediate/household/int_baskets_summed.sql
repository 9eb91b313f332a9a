-- A basket is what a household bought on one visit: its lines, units and sales add up.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    final as (

        select
            household_key,
            basket_id,
            day,
            week_no,
            count(*) as lines,
            sum(quantity) as quantity,
            {{ sum_money("sales_value") }} as sales_value
        from transactions
        group by 1, 2, 3, 4

    )

select *
from final
