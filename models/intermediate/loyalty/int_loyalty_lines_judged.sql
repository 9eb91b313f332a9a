-- A row of the loyalty list makes a member unless it is blank, has no email or has a
-- field too long for a name. Of several with the same email, the one with most fields
-- filled counts; of equals the last that came in live, then of lines in files the first
-- by text.
{{ config(materialized="table") }}

with
    loyalty_lines as (select * from {{ ref("int_loyalty_lines_gathered") }}),

    judged_alone as (

        select
            loyalty_lines.*,
            case
                when line is null and received_at is null
                then 'blank line'
                when email is null
                then 'no email'
                when {{ any_too_long(["email", "fb_user", "insta_user", "gender"]) }}
                then 'field too long'
            end as drop_reason,
            case when fb_user is null then 0 else 1 end
            + case when insta_user is null then 0 else 1 end
            + case when gender is null then 0 else 1 end as fields_filled
        from loyalty_lines

    ),

    numbered as (

        select
            judged_alone.*,
            row_number() over (
                partition by email, drop_reason
                order by
                    fields_filled desc,
                    received_at desc nulls last,
                    number desc nulls last,
                    {{ text_order("line") }}
            ) as line_of_email
        from judged_alone

    ),

    final as (

        select
            email,
            fb_user,
            insta_user,
            gender,
            received_at,
            coalesce(
                drop_reason, case when line_of_email > 1 then 'repeated member' end
            ) as drop_reason
        from numbered

    )

select *
from final
