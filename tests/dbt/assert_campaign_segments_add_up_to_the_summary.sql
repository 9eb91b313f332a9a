-- Fails if the segments of a campaign do not add up to the households that it was sent
-- to, or sold them more than was sold to all.
with
    segments as (

        select
            campaign,
            sum(households_targeted) as households_targeted,
            sum(households_redeeming) as households_redeeming,
            sum(sales_before) as sales_before,
            sum(sales_during) as sales_during,
            sum(sales_after) as sales_after
        from {{ ref("campaign_segments") }}
        group by 1

    )

select summary.campaign
from {{ ref("campaign_summary") }} as summary
left join segments on summary.campaign = segments.campaign
where
    summary.households_targeted <> coalesce(segments.households_targeted, 0)
    or segments.households_redeeming > summary.households_redeeming
    or segments.sales_before > summary.sales_before
    or segments.sales_during > summary.sales_during
    or segments.sales_after > summary.sales_after
