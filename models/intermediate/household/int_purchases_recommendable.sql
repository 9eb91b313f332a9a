-- A household's next baskets are learned from lines of merchandise that were paid for.
-- Lines of one minute are one basket. Where the time of day is not known, a household's
-- baskets of the day follow one another by number, at half minutes, which no other has.
with
    transactions as (select * from {{ ref("int_transactions_gathered") }}),

    products as (select * from {{ ref("int_products_recommendable") }}),

    lines_with_hours as (

        select
            household_key,
            basket_id,
            product_id,
            quantity,
            sales_value,
            day,
            time_of_day,
            {{ floored_quotient("time_of_day", "100") }} as hour_of_day
        from transactions
        where household_key is not null and day is not null

    ),

    lines_with_minutes as (

        select
            household_key,
            product_id,
            quantity,
            sales_value,
            {{ as_double("day") }} * 1440
            + hour_of_day * 60
            + (time_of_day - hour_of_day * 100) as minute
        from lines_with_hours
        where time_of_day is not null
        union all
        select
            household_key,
            product_id,
            quantity,
            sales_value,
            {{ as_double("day") }} * 1440
            - 0.5
            + least(
                dense_rank() over (partition by household_key, day order by basket_id),
                1440
            ) as minute
        from lines_with_hours
        where time_of_day is null

    ),

    final as (

        select lines.household_key, lines.product_id, lines.minute
        from lines_with_minutes as lines
        inner join products on lines.product_id = products.product_id
        where lines.quantity > 0 and lines.sales_value > 0

    )

select *
from final
