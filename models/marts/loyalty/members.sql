with
    members as (select * from {{ ref("int_members_joined") }}),

    final as (

        select email, fb_user, insta_user, gender, joined_by, joined_at from members

    )

select *
from final
