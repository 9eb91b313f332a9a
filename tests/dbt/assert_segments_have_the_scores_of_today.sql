-- Fails if a household's segment of today differs from the last period of the
-- history, or
-- from the scores of household_rfm.
with
    segments as (select * from {{ ref("household_segments") }}),

    rfm as (select * from {{ ref("household_rfm") }}),

    segment_history as (select * from {{ ref("household_segment_history") }}),

    last_period as (

        select segment_history.*
        from segment_history
        where
            segment_history.period_end = (
                select max(periods.period_end)
                from {{ ref("household_segment_history") }} as periods
            )

    )

select
    rfm.household_key,
    rfm.r_score,
    last_period.r_score as r_score_in_history,
    rfm.f_score,
    last_period.f_score as f_score_in_history,
    rfm.m_score,
    last_period.m_score as m_score_in_history,
    segments.segment,
    last_period.segment as segment_in_history
from rfm
full outer join segments on rfm.household_key = segments.household_key
full outer join last_period on rfm.household_key = last_period.household_key
where
    rfm.household_key is null
    or segments.segment is distinct from last_period.segment
    or rfm.r_score is distinct from last_period.r_score
    or rfm.f_score is distinct from last_period.f_score
    or rfm.m_score is distinct from last_period.m_score
