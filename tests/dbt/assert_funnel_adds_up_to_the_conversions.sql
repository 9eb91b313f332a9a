-- Fails if a promotion's channels do not add up to its conversions.
with
    funnel as (

        select
            promotion,
            sum(clicks) as clicks,
            sum(baskets) as baskets,
            sum(purchases) as purchases,
            sum(revenue) as revenue
        from {{ ref("promotion_funnel") }}
        group by 1

    ),

    counted as (

        select
            promotion,
            sum(case when conversion_type = 'click' then 1 else 0 end) as clicks,
            sum(case when conversion_type = 'basket' then 1 else 0 end) as baskets,
            sum(case when conversion_type = 'purchase' then 1 else 0 end) as purchases,
            {{ sum_money("total") }} as revenue
        from {{ ref("conversions") }}
        group by 1

    )

select counted.promotion, counted.clicks, funnel.clicks as funnel_clicks
from counted
full outer join funnel on counted.promotion = funnel.promotion
where
    counted.promotion is null
    or funnel.promotion is null
    or counted.clicks <> funnel.clicks
    or counted.baskets <> funnel.baskets
    or counted.purchases <> funnel.purchases
    or counted.revenue <> funnel.revenue
