-- A basket holds a commodity when at least one of its lines is merchandise of it.
{{ config(materialized="table") }}

with
    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    products as (select * from {{ ref("int_products_recommendable") }}),

    commodities as (

        select
            commodity,
            cast(row_number() over (order by commodity) as integer) as commodity_number
        from products
        group by 1

    ),

    products_numbered as (

        select products.product_id, commodities.commodity_number
        from products
        inner join commodities on products.commodity = commodities.commodity

    ),

    -- By number alone: with the names it takes a quarter more time.
    commodities_held as (

        select distinct transactions.basket_id, products_numbered.commodity_number
        from transactions
        inner join
            products_numbered on transactions.product_id = products_numbered.product_id

    ),

    final as (

        select
            commodities_held.basket_id,
            commodities.commodity,
            commodities_held.commodity_number
        from commodities_held
        inner join
            commodities
            on commodities_held.commodity_number = commodities.commodity_number

    )

select *
from final
