-- The loyalty list is the lines of its files together with the rows that came in live.
with
    loyalty_lines as (select * from {{ ref("int_loyalty_lines_parsed") }}),

    live_rows as (select * from {{ ref("stg_events__loyalty_list") }}),

    final as (

        select
            line,
            email,
            fb_user,
            insta_user,
            gender,
            cast(null as timestamp) as received_at,
            cast(null as bigint) as number
        from loyalty_lines
        union all
        select
            {{ as_text("null") }} as line,
            {{ email_key("email") }} as email,
            fb_user,
            insta_user,
            gender,
            received_at,
            number
        from live_rows

    )

select *
from final
