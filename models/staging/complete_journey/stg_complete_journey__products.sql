with
    source as (select * from {{ raw("household", "product") }}),

    final as (

        select
            cast(product_id as bigint) as product_id,
            cast(manufacturer as bigint) as manufacturer,
            nullif({{ trimmed("department") }}, '') as department,
            nullif({{ trimmed("brand") }}, '') as brand,
            nullif({{ trimmed("commodity_desc") }}, '') as commodity,
            nullif({{ trimmed("sub_commodity_desc") }}, '') as sub_commodity,
            nullif({{ trimmed("curr_size_of_product") }}, '') as size
        from source

    )

select *
from final
