-- A line of the conversions has promotion, kind and email, and then: for a click its
-- channel, for a basket its items, for a purchase its items and the total.
with
    conversion_lines as (select * from {{ ref("stg_promotions__conversion_lines") }}),

    split_up as (

        select
            line,
            {{ composed(line_field("line", 1)) }} as promotion,
            {{ conversion_type(line_field("line", 2)) }} as conversion_type,
            {{ email_key(line_field("line", 3)) }} as email,
            {{ composed(line_field("line", 4)) }} as detail,
            {{ line_field("line", 5) }} as total_text
        from conversion_lines

    ),

    told_apart as (

        select
            split_up.*,
            case when conversion_type = 'click' then detail end as channel,
            case
                when conversion_type in ('basket', 'purchase')
                then {{ item_list("detail") }}
            end as items
        from split_up

    ),

    final as (

        select
            line,
            promotion,
            conversion_type,
            email,
            channel,
            items,
            cast({{ count_parts("items", ";") }} as integer) as items_count,
            case
                when conversion_type = 'purchase'
                then {{ conversion_total("total_text") }}
            end as total
        from told_apart

    )

select *
from final
