-- A product belongs to the department that the data name; Sports means Sport.
with
    products as (select * from {{ ref("stg_store__products") }}),

    final as (

        select
            product_id,
            name,
            category,
            sizes,
            vendor,
            description,
            buy_price,
            {{ department("department") }} as department
        from products

    )

select *
from final
