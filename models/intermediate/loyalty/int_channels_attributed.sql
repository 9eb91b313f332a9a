-- In a promotion, a person belongs to the channel clicked most (of several, the first
-- by name); a person who did not click belongs to "no click".
with
    conversions as (select * from {{ ref("int_conversions_kept") }}),

    persons as (select distinct promotion, email from conversions),

    clicks_counted as (

        select promotion, email, channel, count(*) as clicks
        from conversions
        where conversion_type = 'click'
        group by 1, 2, 3

    ),

    channels_ranked as (

        select
            promotion,
            email,
            channel,
            row_number() over (
                partition by promotion, email
                order by clicks desc, {{ text_order("channel") }}
            ) as channel_rank
        from clicks_counted

    ),

    final as (

        select
            persons.promotion,
            persons.email,
            coalesce(ranked.channel, 'no click') as channel
        from persons
        left join
            channels_ranked as ranked
            on persons.promotion = ranked.promotion
            and persons.email = ranked.email
            and ranked.channel_rank = 1

    )

select *
from final
