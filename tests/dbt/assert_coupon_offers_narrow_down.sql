-- Fails if a department had more offers than focus events, or more offers used than
-- offers.
select event_date, department, focuses, offers, offers_used
from {{ ref("coupon_offers") }}
where offers > focuses or offers_used > offers
