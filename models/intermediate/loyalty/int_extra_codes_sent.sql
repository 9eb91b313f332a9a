-- A member who clicks is sent an extra code, one per promotion however often the member
-- clicks: live, those whom the event service sent one; in files, members by list.
with
    conversions as (select * from {{ ref("int_conversions_kept") }}),

    members as (select * from {{ ref("int_members_joined") }}),

    final as (

        select conversions.promotion, conversions.email
        from conversions
        inner join members on conversions.email = members.email
        where
            conversions.conversion_type = 'click'
            and conversions.converted_at is null
            and members.joined_by = 'list'
        union
        select promotion, email
        from conversions
        where is_code_sent

    )

select *
from final
