with
    conversions as (select * from {{ ref("int_conversions_kept") }}),

    final as (

        select
            row_number() over (
                order by
                    {{ text_order("promotion") }},
                    {{ text_order("conversion_type") }},
                    {{ text_order("email") }},
                    {{ text_order("channel") }} nulls first,
                    {{ text_order("items") }} nulls first,
                    total nulls first,
                    converted_at nulls first
            ) as conversion_id,
            promotion,
            conversion_type,
            email,
            channel,
            items,
            items_count,
            total,
            converted_at
        from conversions

    )

select *
from final
