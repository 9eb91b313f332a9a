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
where
    abs(cast(raw_price as double precision) - cast(buy_price as double precision))
    > 0.000001
