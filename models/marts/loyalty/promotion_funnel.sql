with
    conversions as (select * from {{ ref("int_conversions_kept") }}),

    persons as (select * from {{ ref("int_channels_attributed") }}),

    extra_codes as (select * from {{ ref("int_extra_codes_sent") }}),

    steps as (

        select
            conversions.promotion,
            coalesce(conversions.channel, persons.channel) as channel,
            conversions.conversion_type,
            conversions.total
        from conversions
        inner join
            persons
            on conversions.promotion = persons.promotion
            and conversions.email = persons.email
        union all
        select
            extra_codes.promotion,
            persons.channel,
            'code' as conversion_type,
            null as total
        from extra_codes
        inner join
            persons
            on extra_codes.promotion = persons.promotion
            and extra_codes.email = persons.email

    ),

    counted as (

        select
            promotion,
            channel,
            sum(case when conversion_type = 'click' then 1 else 0 end) as clicks,
            sum(case when conversion_type = 'basket' then 1 else 0 end) as baskets,
            sum(case when conversion_type = 'purchase' then 1 else 0 end) as purchases,
            {{ sum_money("total") }} as revenue,
            sum(
                case when conversion_type = 'code' then 1 else 0 end
            ) as extra_codes_sent
        from steps
        group by 1, 2

    ),

    final as (

        select
            promotion,
            channel,
            cast(clicks as bigint) as clicks,
            cast(baskets as bigint) as baskets,
            cast(purchases as bigint) as purchases,
            revenue,
            {{ divide("baskets", "clicks") }} as basket_rate,
            {{ divide("purchases", "clicks") }} as purchase_rate,
            cast(extra_codes_sent as bigint) as extra_codes_sent
        from counted

    )

select *
from final
