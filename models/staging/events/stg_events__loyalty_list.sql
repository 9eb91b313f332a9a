with
    source as (select * from {{ raw("events", "loyalty_list") }}),

    final as (

        select
            cast(number as bigint) as number,
            nullif({{ trimmed(as_text("email")) }}, '') as email,
            nullif({{ trimmed(as_text("fb_user")) }}, '') as fb_user,
            nullif({{ trimmed(as_text("insta_user")) }}, '') as insta_user,
            nullif({{ trimmed(as_text("gender")) }}, '') as gender,
            cast(received_at as timestamp) as received_at
        from source

    )

select *
from final
