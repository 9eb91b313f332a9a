with
    source as (select * from {{ raw("events", "conversions") }}),

    final as (

        select
            cast(number as bigint) as number,
            nullif({{ trimmed(as_text("promotion")) }}, '') as promotion,
            {{ as_text("conversion_type") }} as conversion_type,
            nullif({{ trimmed(as_text("email")) }}, '') as email,
            nullif({{ trimmed(as_text("channel")) }}, '') as channel,
            {{ as_text("items") }} as items,
            cast(total as decimal(18, 2)) as total,
            cast(is_code_sent as boolean) as is_code_sent,
            cast(is_new_member as boolean) as is_new_member,
            cast(received_at as timestamp) as received_at
        from source

    )

select *
from final
