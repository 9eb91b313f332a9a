-- A product may be recommended when it is merchandise: its department and commodity
-- are known, and neither stands for coupons, fuel, supplies or corrections.
with
    products as (select * from {{ ref("stg_complete_journey__products") }}),

    final as (

        select product_id, commodity
        from products
        where
            department is not null
            and commodity is not null
            and department
            not in ('{{ var("not_merchandise_departments") | join("', '") }}')
            and commodity
            not in ('{{ var("not_merchandise_commodities") | join("', '") }}')
            and coalesce(sub_commodity, '') <> '{{ var("excluded_sub_commodity") }}'

    )

select *
from final
