-- A household counts by the segment that it had when the campaign began: at the end of
-- the last four weeks before the first day. What a campaign changes must not decide in
-- which segment it counts.
with
    targets as (select * from {{ ref("int_campaign_targets_measured") }}),

    responses as (select * from {{ ref("campaign_response") }}),

    segment_history as (select * from {{ ref("household_segment_history") }}),

    segments as (select * from {{ ref("segments") }}),

    targets_answered as (

        select targets.*, responses.start_day, responses.has_redeemed
        from targets
        inner join
            responses
            on targets.campaign = responses.campaign
            and targets.household_key = responses.household_key

    ),

    last_periods as (

        select
            targets.campaign,
            targets.household_key,
            max(segment_history.period_end) as period_end
        from targets_answered as targets
        inner join
            segment_history
            on targets.household_key = segment_history.household_key
            and targets.start_day > segment_history.period_end
        group by 1, 2

    ),

    targets_segmented as (

        select targets.*, coalesce(segment_history.segment, 'none') as segment
        from targets_answered as targets
        left join
            last_periods
            on targets.campaign = last_periods.campaign
            and targets.household_key = last_periods.household_key
        left join
            segment_history
            on last_periods.household_key = segment_history.household_key
            and last_periods.period_end = segment_history.period_end

    ),

    places as (

        select segment, position
        from segments
        union all
        select 'none' as segment, max(position) + 1 as position
        from segments

    ),

    counted as (

        select
            campaign,
            segment,
            count(*) as households_targeted,
            cast(
                sum(case when has_redeemed then 1 else 0 end) as bigint
            ) as households_redeeming,
            {{ sum_money("sales_before") }} as sales_before,
            {{ sum_money("sales_during") }} as sales_during,
            {{ sum_money("sales_after") }} as sales_after,
            {{ mean_money("sales_before") }} as mean_sales_before,
            {{ mean_money("sales_during") }} as mean_sales_during,
            {{ mean_money("sales_after") }} as mean_sales_after
        from targets_segmented
        group by 1, 2

    ),

    final as (

        select
            counted.campaign,
            places.position,
            counted.segment,
            counted.households_targeted,
            counted.households_redeeming,
            {{ divide("counted.households_redeeming", "counted.households_targeted") }}
            as redemption_rate,
            counted.sales_before,
            counted.sales_during,
            counted.sales_after,
            counted.mean_sales_before,
            counted.mean_sales_during,
            counted.mean_sales_after
        from counted
        inner join places on counted.segment = places.segment

    )

select *
from final
