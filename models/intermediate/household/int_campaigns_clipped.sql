-- A campaign is measured on the days that lie in the data: from the later of its start
-- and the first day with sales to the earlier of its end and the last; one that ends
-- before it starts has no days. It is compared with as many days before and after, as
-- far as there are any.
with
    campaigns as (select * from {{ ref("stg_complete_journey__campaigns") }}),

    baskets as (select * from {{ ref("int_baskets_summed") }}),

    data_days as (

        select min(day) as first_data_day, max(day) as last_data_day from baskets

    ),

    clipped as (

        select
            campaigns.*,
            data_days.first_data_day,
            data_days.last_data_day,
            greatest(campaigns.start_day, data_days.first_data_day) as first_day,
            least(campaigns.end_day, data_days.last_data_day) as last_day
        from campaigns
        cross join data_days
        where
            campaigns.start_day <= campaigns.end_day
            and campaigns.start_day <= data_days.last_data_day
            and campaigns.end_day >= data_days.first_data_day

    ),

    measured as (select *, last_day - first_day + 1 as duration_days from clipped),

    final as (

        select
            campaign,
            first_day,
            last_day,
            duration_days,
            least(duration_days, first_day - first_data_day) as days_before,
            least(duration_days, last_data_day - last_day) as days_after
        from measured

    )

select *
from final
