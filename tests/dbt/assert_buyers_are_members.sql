-- Fails if a buyer is not a member, or a member by purchase did not buy.
with
    buyers as (

        select distinct email
        from {{ ref("conversions") }}
        where conversion_type = 'purchase'

    )

select coalesce(buyers.email, members.email) as email, members.joined_by
from buyers
full outer join {{ ref("members") }} as members on buyers.email = members.email
where members.email is null or (members.joined_by = 'purchase' and buyers.email is null)
