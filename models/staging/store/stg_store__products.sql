with
    source as (select * from {{ raw("store", "products") }}),

    final as (

        select
            cast(product_id as bigint) as product_id,
            nullif(trim(name), '') as name,
            nullif(trim(category), '') as category,
            nullif(trim(sizes), '') as sizes,
            nullif(trim(vendor), '') as vendor,
            nullif(trim(description), '') as description,
            cast(buy_price as decimal(18, 2)) as buy_price,
            nullif(trim(department), '') as department
        from source

    )

select *
from final
