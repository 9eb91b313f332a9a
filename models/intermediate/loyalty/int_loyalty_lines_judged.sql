-- A row of the loyalty list makes a member unless it is blank or has no email; of
-- several with the same email the one with most fields filled counts, of as many the
-- last that came in live, of lines in files the first by text.
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
                partition by email
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
