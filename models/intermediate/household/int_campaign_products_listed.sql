-- A campaign's products are those that its coupons apply to, each once however many
-- coupons name it.
with
    coupons as (select * from {{ ref("stg_complete_journey__coupons") }}),

    final as (select distinct campaign, product_id from coupons)

select *
from final
