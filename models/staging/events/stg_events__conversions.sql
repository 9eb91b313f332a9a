with
    source as (select * from {{ raw("events", "conversions") }}),

    final as (

        select
            cast(number as bigint) as number,
            nullif({{ trimmed("cast(promotion as text)") }}, '') as promotion,
            cast(conversion_type as text) as conversion_type,
            nullif({{ trimmed("cast(email as text)") }}, '') as email,
            nullif({{ trimmed("cast(channel as text)") }}, '') as channel,
            cast(items as text) as items,
            cast(total as decimal(18, 2)) as total,
            cast(is_code_sent as boolean) as is_code_sent,
            cast(is_new_member as boolean) as is_new_member,
            cast(received_at as timestamp) as received_at
        from source

    )

select *
from final
