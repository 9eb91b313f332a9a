-- Fails if the cleaning report lacks an outcome.
select count(*) as outcomes
from {{ ref("voucher_cleaning_report") }}
having count(*) <> {{ voucher_outcomes() | length }}
