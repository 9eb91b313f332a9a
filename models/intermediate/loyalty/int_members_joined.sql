-- A member joined by the loyalty list, or, as a stranger, by a purchase. The files say
-- no time.
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

    final as (

        select
            coalesce(listed.email, buyers.email) as email,
            listed.fb_user,
            listed.insta_user,
            listed.gender,
            case
                when listed.email is not null then 'list' else 'purchase'
            end as joined_by,
            cast(null as timestamp) as joined_at
        from listed
        full outer join buyers on listed.email = buyers.email

    )

select *
from final
