with
    products as (select * from {{ ref("int_products_assigned") }}),

    final as (

        select
            product_id,
            name,
            category,
            sizes,
            vendor,
            description,
            buy_price,
            department
        from products

    )

select *
from final
