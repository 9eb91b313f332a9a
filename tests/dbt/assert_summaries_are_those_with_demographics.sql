-- Fails if a household in scope with demographics has no summary, or one without them
-- has a summary.
select rfm.household_key, rfm.has_demographics, summary.index
from {{ ref("household_rfm") }} as rfm
left join
    {{ ref("hh_summary") }} as summary on rfm.household_key = summary.household_key
where rfm.has_demographics <> (summary.household_key is not null)
