-- Fails if the fifteen sections of a day, or of a summary, do not add up to its total.
select household_key, day, total_sales
from {{ ref("daily_hh_spend") }}
where {{ sections() | join(" + ") }} <> total_sales
union all
select household_key, null as day, total_sales
from {{ ref("hh_summary") }}
where {{ sections() | join(" + ") }} <> total_sales
