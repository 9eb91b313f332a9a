-- A line of the loyalty list has email, Facebook and Instagram user as its first three
-- fields; gender is its last, whatever is between.
with
    loyalty_lines as (select * from {{ ref("stg_promotions__loyalty_lines") }}),

    final as (

        select
            line,
            {{ email_key(line_field("line", 1)) }} as email,
            {{ line_field("line", 2) }} as fb_user,
            {{ line_field("line", 3) }} as insta_user,
            {{ gender_field("line") }} as gender
        from loyalty_lines

    )

select *
from final
