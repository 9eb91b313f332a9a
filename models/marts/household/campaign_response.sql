with
    campaigns as (select * from {{ ref("stg_complete_journey__campaigns") }}),

    targets as (select * from {{ ref("stg_complete_journey__campaign_targets") }}),

    redemptions as (select * from {{ ref("stg_complete_journey__redemptions") }}),

    households_targeted as (select distinct campaign, household_key from targets),

    redemptions_counted as (

        select
            campaign,
            household_key,
            count(*) as redemptions,
            count(distinct coupon_upc) as coupons_redeemed,
            min(day) as first_redemption_day
        from redemptions
        group by 1, 2

    ),

    gathered as (

        select campaign, household_key
        from households_targeted
        union
        select campaign, household_key
        from redemptions_counted

    ),

    final as (

        select
            gathered.household_key,
            gathered.campaign,
            campaigns.campaign_type,
            campaigns.start_day,
            {{ date_of("campaigns.start_day") }} as start_date,
            campaigns.end_day,
            {{ date_of("campaigns.end_day") }} as end_date,
            coalesce(counted.redemptions, 0) as redemptions,
            coalesce(counted.coupons_redeemed, 0) as coupons_redeemed,
            counted.first_redemption_day,
            {{ date_of("counted.first_redemption_day") }} as first_redemption_date,
            counted.first_redemption_day - campaigns.start_day as days_to_redeem,
            targeted.household_key is not null as is_targeted,
            counted.household_key is not null as has_redeemed
        from gathered
        inner join campaigns on gathered.campaign = campaigns.campaign
        left join
            households_targeted as targeted
            on gathered.campaign = targeted.campaign
            and gathered.household_key = targeted.household_key
        left join
            redemptions_counted as counted
            on gathered.campaign = counted.campaign
            and gathered.household_key = counted.household_key

    )

select *
from final
