-- A product belongs to the section of its commodity, or to misc where the commodity is
-- blank or not listed.
with
    products as (select * from {{ ref("stg_complete_journey__products") }}),

    commodity_sections as (select * from {{ ref("commodity_sections") }}),

    final as (

        select products.*, coalesce(commodity_sections.section, 'misc') as section
        from products
        left join
            commodity_sections on products.commodity = commodity_sections.commodity_desc

    )

select *
from final
