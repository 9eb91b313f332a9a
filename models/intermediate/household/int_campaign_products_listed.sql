-- A campaign is about the products that its coupons are for, each once however many
-- coupons name it.
with
    coupons as (select * from {{ ref("stg_complete_journey__coupons") }}),

    final as (select distinct campaign, product_id from coupons)

select *
from final
