-- Fails if a product's raw price is not a whole number of cents, within the error of a
-- binary fraction.
with
    products as (

        select
            product_id,
            buy_price as raw_price,
            {{ two_decimals("buy_price") }} as buy_price
        from {{ raw("store", "products") }}

    )

select product_id, raw_price, buy_price
from products
where abs({{ as_double("raw_price") }} - {{ as_double("buy_price") }}) > 0.000001
