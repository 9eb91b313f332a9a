with
    conversions as (

        select *, left(email, 1) as initial from {{ ref("int_conversions_kept") }}

    ),

    groups_of_conversions as (

        {{
            groups_of_rows(
                "conversions",
                ["promotion", "conversion_type", "initial"],
                [
                    text_order("promotion"),
                    text_order("conversion_type"),
                    text_order("initial"),
                ],
            )
        }}

    ),

    final as (

        select
            groups.rows_before + row_number() over (
                partition by
                    conversions.promotion,
                    conversions.conversion_type,
                    conversions.initial
                order by
                    {{ text_order("conversions.email") }},
                    {{ text_order("conversions.channel") }} nulls first,
                    {{ text_order("conversions.items") }} nulls first,
                    conversions.total nulls first,
                    conversions.converted_at nulls first
            ) as conversion_id,
            conversions.promotion,
            conversions.conversion_type,
            conversions.email,
            conversions.channel,
            conversions.items,
            conversions.items_count,
            conversions.total,
            conversions.converted_at
        from conversions
        inner join
            groups_of_conversions as groups
            on conversions.promotion = groups.promotion
            and conversions.conversion_type = groups.conversion_type
            and conversions.initial = groups.initial

    )

select *
from final
