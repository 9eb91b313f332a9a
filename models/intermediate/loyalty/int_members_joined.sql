-- A member joined by the loyalty list, or, as a stranger, by a purchase, when the first
-- live row that made the person a member came in. Files give no time.
with
    loyalty_lines as (select * from {{ ref("int_loyalty_lines_judged") }}),

    conversions as (select * from {{ ref("int_conversions_kept") }}),

    listed as (

        select email, fb_user, insta_user, gender
        from loyalty_lines
        where drop_reason is null

    ),

    buyers as (

        select distinct email from conversions where conversion_type = 'purchase'

    ),

    made_members_live as (

        select email, received_at as joined_at
        from loyalty_lines
        where
            email is not null
            and received_at is not null
            and coalesce(drop_reason, '') <> 'field too long'
        union all
        select email, converted_at as joined_at
        from conversions
        where is_new_member

    ),

    joined_first as (

        select email, min(joined_at) as joined_at from made_members_live group by 1

    ),

    members as (

        select
            coalesce(listed.email, buyers.email) as email,
            listed.fb_user,
            listed.insta_user,
            listed.gender,
            case
                when listed.email is not null then 'list' else 'purchase'
            end as joined_by
        from listed
        full outer join buyers on listed.email = buyers.email

    ),

    final as (

        select
            members.email,
            members.fb_user,
            members.insta_user,
            members.gender,
            members.joined_by,
            joined_first.joined_at
        from members
        left join joined_first on members.email = joined_first.email

    )

select *
from final
