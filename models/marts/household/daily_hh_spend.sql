with
    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    products as (select * from {{ ref("int_products_sectioned") }}),

    section_spend as (

        select
            transactions.day,
            transactions.household_key,
            products.section,
            sum(transactions.sales_value) as sales_value
        from transactions
        inner join products on transactions.product_id = products.product_id
        group by 1, 2, 3

    ),

    final as (

        select
            day,
            {{ date_of("day") }} as date,
            household_key,
            {% for section in sections() -%}
                {{
                    sum_money(
                        "case when section = '" ~ section ~ "' then sales_value end"
                    )
                }} as {{ section }},
            {% endfor -%}
            {{ sum_money("sales_value") }} as total_sales
        from section_spend
        group by 1, 3

    )

select *
from final
