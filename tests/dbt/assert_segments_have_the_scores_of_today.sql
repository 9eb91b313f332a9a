-- Fails if a household in scope has no segment, or one by other scores than its own.
with
    segments as (select * from {{ ref("household_segments") }}),

    rfm as (select * from {{ ref("household_rfm") }})

select
    rfm.household_key,
    rfm.r_score,
    segments.r_score as r_score_of_segment,
    rfm.f_score,
    segments.f_score as f_score_of_segment,
    rfm.m_score,
    segments.m_score as m_score_of_segment
from rfm
full outer join segments on rfm.household_key = segments.household_key
where
    rfm.r_score is distinct from segments.r_score
    or rfm.f_score is distinct from segments.f_score
    or rfm.m_score is distinct from segments.m_score
