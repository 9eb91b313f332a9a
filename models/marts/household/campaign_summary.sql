with
    campaigns as (select * from {{ ref("stg_complete_journey__campaigns") }}),

    clipped_campaigns as (select * from {{ ref("int_campaigns_clipped") }}),

    daily_sales as (select * from {{ ref("daily_campaign_sales") }}),

    targets as (select * from {{ ref("stg_complete_journey__campaign_targets") }}),

    redemptions as (select * from {{ ref("stg_complete_journey__redemptions") }}),

    campaign_products as (select * from {{ ref("int_campaign_products_listed") }}),

    products_counted as (

        select campaign, count(*) as products from campaign_products group by 1

    ),

    targets_counted as (

        select campaign, count(distinct household_key) as households_targeted
        from targets
        group by 1

    ),

    redemptions_counted as (

        select
            campaign,
            count(distinct household_key) as households_redeeming,
            count(*) as redemptions
        from redemptions
        group by 1

    ),

    sales_compared as (

        select
            campaigns.campaign,
            {{
                sum_money(
                    "case when daily_sales.day < clipped.first_day"
                    " and daily_sales.day >= clipped.first_day - clipped.days_before"
                    " then daily_sales.total_sales end"
                )
            }} as sales_before,
            {{
                sum_money(
                    "case when daily_sales.day between clipped.first_day and clipped.last_day"
                    " then daily_sales.total_sales end"
                )
            }}
            as sales_during,
            {{
                sum_money(
                    "case when daily_sales.day > clipped.last_day"
                    " and daily_sales.day <= clipped.last_day + clipped.days_after"
                    " then daily_sales.total_sales end"
                )
            }} as sales_after
        from campaigns
        left join clipped_campaigns as clipped on campaigns.campaign = clipped.campaign
        left join daily_sales on campaigns.campaign = daily_sales.campaign
        group by 1

    ),

    final as (

        select
            campaigns.campaign,
            campaigns.campaign_type,
            campaigns.start_day,
            {{ date_of("campaigns.start_day") }} as start_date,
            campaigns.end_day,
            {{ date_of("campaigns.end_day") }} as end_date,
            clipped_campaigns.first_day,
            {{ date_of("clipped_campaigns.first_day") }} as first_date,
            clipped_campaigns.last_day,
            {{ date_of("clipped_campaigns.last_day") }} as last_date,
            coalesce(clipped_campaigns.duration_days, 0) as duration_days,
            coalesce(clipped_campaigns.days_before, 0) as days_before,
            coalesce(clipped_campaigns.days_after, 0) as days_after,
            coalesce(products_counted.products, 0) as products,
            sales_compared.sales_before,
            sales_compared.sales_during,
            sales_compared.sales_after,
            coalesce(targets_counted.households_targeted, 0) as households_targeted,
            coalesce(
                redemptions_counted.households_redeeming, 0
            ) as households_redeeming,
            coalesce(redemptions_counted.redemptions, 0) as redemptions
        from campaigns
        left join clipped_campaigns on campaigns.campaign = clipped_campaigns.campaign
        left join products_counted on campaigns.campaign = products_counted.campaign
        inner join sales_compared on campaigns.campaign = sales_compared.campaign
        left join targets_counted on campaigns.campaign = targets_counted.campaign
        left join
            redemptions_counted on campaigns.campaign = redemptions_counted.campaign

    )

select *
from final
