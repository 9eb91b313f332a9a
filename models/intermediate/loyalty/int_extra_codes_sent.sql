-- A member by list who clicks is sent an extra code, one per promotion however often it
-- clicks.
with
    conversions as (select * from {{ ref("int_conversions_kept") }}),

    members as (select * from {{ ref("int_members_joined") }}),

    final as (

        select distinct conversions.promotion, conversions.email
        from conversions
        inner join members on conversions.email = members.email
        where conversions.conversion_type = 'click' and members.joined_by = 'list'

    )

select *
from final
