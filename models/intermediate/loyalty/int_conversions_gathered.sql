-- Conversions are the lines of files together with those that came in live, each of
-- which keeps what a line of its kind would have.
with
    conversion_lines as (select * from {{ ref("int_conversions_parsed") }}),

    live_rows as (select * from {{ ref("stg_events__conversions") }}),

    live_told_apart as (

        select
            {{ spelled("promotion") }} as promotion,
            conversion_type,
            {{ email_key("email") }} as email,
            case
                when conversion_type = 'click' then {{ spelled("channel") }}
            end as channel,
            case
                when conversion_type in ('basket', 'purchase')
                then {{ item_list("items") }}
            end as items,
            case
                when
                    conversion_type = 'purchase'
                    and total >= 0
                    and total < power(10, {{ var("money_digits") }})
                then total
            end as total,
            is_code_sent,
            is_new_member,
            received_at
        from live_rows

    ),

    final as (

        select
            line,
            promotion,
            conversion_type,
            email,
            channel,
            items,
            items_count,
            total,
            cast(null as boolean) as is_code_sent,
            cast(null as boolean) as is_new_member,
            cast(null as timestamp) as converted_at
        from conversion_lines
        union all
        select
            {{ as_text("null") }} as line,
            promotion,
            conversion_type,
            email,
            channel,
            items,
            cast({{ count_parts("items", ";") }} as integer) as items_count,
            total,
            is_code_sent,
            is_new_member,
            received_at as converted_at
        from live_told_apart

    )

select *
from final
