with
    products as (select * from {{ ref("int_products_sectioned") }}),

    final as (

        select
            product_id,
            manufacturer,
            department,
            brand,
            commodity,
            sub_commodity,
            size,
            section
        from products

    )

select *
from final
