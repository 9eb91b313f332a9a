with
    source as (select * from {{ raw("store", "products") }}),

    final as (

        select
            cast(product_id as bigint) as product_id,
            nullif({{ trimmed("name") }}, '') as name,
            nullif({{ trimmed("category") }}, '') as category,
            nullif({{ trimmed("sizes") }}, '') as sizes,
            nullif({{ trimmed("vendor") }}, '') as vendor,
            nullif({{ trimmed("description") }}, '') as description,
            {{ two_decimals("buy_price") }} as buy_price,
            nullif({{ trimmed("department") }}, '') as department
        from source

    )

select *
from final
