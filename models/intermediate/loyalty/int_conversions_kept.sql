-- The conversions that count are those without a reason to drop them.
with
    conversions as (select * from {{ ref("int_conversions_judged") }}),

    final as (

        select
            promotion,
            conversion_type,
            email,
            channel,
            items,
            items_count,
            total,
            is_code_sent,
            is_new_member,
            converted_at
        from conversions
        where drop_reason is null

    )

select *
from final
