-- A conversion counts when all that its kind needs can be read; any other is dropped
-- for the first reason that applies.
{{ config(materialized="table") }}

with
    conversions as (select * from {{ ref("int_conversions_gathered") }}),

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
            converted_at,
            case
                when line is null and converted_at is null
                then 'blank line'
                when promotion is null
                then 'missing promotion'
                when conversion_type is null
                then 'unknown conversion type'
                when email is null
                then 'no email'
                when conversion_type = 'click' and channel is null
                then 'missing channel'
                when {{ any_too_long(["promotion", "email", "channel"]) }}
                then 'field too long'
                when conversion_type = 'purchase' and total is null
                then 'unreadable total'
            end as drop_reason
        from conversions

    )

select *
from final
