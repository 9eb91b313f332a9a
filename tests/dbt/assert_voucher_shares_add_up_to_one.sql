-- Fails if the shares of the vouchers of a country and segment do not add up to 1.
select country_code, segment_name, segment, sum(share) as share
from {{ ref("voucher_ranking") }}
group by 1, 2, 3
having abs(sum(share) - 1) > 1e-9
