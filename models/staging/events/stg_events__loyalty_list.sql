with
    source as (select * from {{ raw("events", "loyalty_list") }}),

    final as (

        select
            cast(number as bigint) as number,
            nullif({{ trimmed("cast(email as text)") }}, '') as email,
            nullif({{ trimmed("cast(fb_user as text)") }}, '') as fb_user,
            nullif({{ trimmed("cast(insta_user as text)") }}, '') as insta_user,
            nullif({{ trimmed("cast(gender as text)") }}, '') as gender,
            cast(received_at as timestamp) as received_at
        from source

    )

select *
from final
