-- Fails if a campaign's responses do not add up to its summary.
with
    responses as (

        select
            campaign,
            sum(case when is_targeted then 1 else 0 end) as households_targeted,
            sum(case when has_redeemed then 1 else 0 end) as households_redeeming,
            sum(redemptions) as redemptions
        from {{ ref("campaign_response") }}
        group by 1

    )

select summary.campaign
from {{ ref("campaign_summary") }} as summary
left join responses on summary.campaign = responses.campaign
where
    summary.households_targeted <> coalesce(responses.households_targeted, 0)
    or summary.households_redeeming <> coalesce(responses.households_redeeming, 0)
    or summary.redemptions <> coalesce(responses.redemptions, 0)
