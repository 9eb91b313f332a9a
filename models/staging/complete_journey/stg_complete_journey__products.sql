with
    source as (select * from {{ raw("household", "product") }}),

    final as (

        select
            cast(product_id as bigint) as product_id,
            cast(manufacturer as bigint) as manufacturer,
            nullif(trim(department), '') as department,
            nullif(trim(brand), '') as brand,
            nullif(trim(commodity_desc), '') as commodity,
            nullif(trim(sub_commodity_desc), '') as sub_commodity,
            nullif(trim(curr_size_of_product), '') as size
        from source

    )

select *
from final
