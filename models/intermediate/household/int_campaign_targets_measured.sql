-- What a household bought of the products of a campaign that was sent to it: while the
-- campaign ran, and in the days before and after that it is compared with.
with
    campaigns as (select * from {{ ref("stg_complete_journey__campaigns") }}),

    clipped_campaigns as (select * from {{ ref("int_campaigns_clipped") }}),

    targets as (select * from {{ ref("stg_complete_journey__campaign_targets") }}),

    campaign_products as (select * from {{ ref("int_campaign_products_listed") }}),

    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    households_targeted as (

        select distinct targets.campaign, targets.household_key
        from targets
        inner join campaigns on targets.campaign = campaigns.campaign

    ),

    lines_compared as (

        select
            households.campaign,
            households.household_key,
            transactions.sales_value,
            case
                when transactions.day < clipped.first_day
                then 'before'
                when transactions.day > clipped.last_day
                then 'after'
                else 'during'
            end as stretch
        from households_targeted as households
        inner join
            clipped_campaigns as clipped on households.campaign = clipped.campaign
        inner join
            transactions
            on households.household_key = transactions.household_key
            and transactions.day >= clipped.first_day - clipped.days_before
            and transactions.day <= clipped.last_day + clipped.days_after
        inner join
            campaign_products
            on households.campaign = campaign_products.campaign
            and transactions.product_id = campaign_products.product_id

    ),

    sales_summed as (

        select
            campaign,
            household_key,
            {{ sum_money("case when stretch = 'before' then sales_value end") }}
            as sales_before,
            {{ sum_money("case when stretch = 'during' then sales_value end") }}
            as sales_during,
            {{ sum_money("case when stretch = 'after' then sales_value end") }}
            as sales_after
        from lines_compared
        group by 1, 2

    ),

    final as (

        select
            households.campaign,
            households.household_key,
            cast(coalesce(summed.sales_before, 0) as decimal(18, 2)) as sales_before,
            cast(coalesce(summed.sales_during, 0) as decimal(18, 2)) as sales_during,
            cast(coalesce(summed.sales_after, 0) as decimal(18, 2)) as sales_after
        from households_targeted as households
        left join
            sales_summed as summed
            on households.campaign = summed.campaign
            and households.household_key = summed.household_key

    )

select *
from final
