-- A basket holds a commodity when at least one of its lines is merchandise of it.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    products as (select * from {{ ref("int_products_recommendable") }}),

    commodities as (

        select commodity, row_number() over (order by commodity) as commodity_number
        from products
        group by 1

    ),

    final as (

        select distinct
            transactions.basket_id,
            commodities.commodity,
            cast(commodities.commodity_number as integer) as commodity_number
        from transactions
        inner join products on transactions.product_id = products.product_id
        inner join commodities on products.commodity = commodities.commodity

    )

select *
from final
