with
    described as (select * from {{ ref("int_customers_described") }}),

    totalled as (select * from {{ ref("int_customers_totalled") }}),

    final as (

        select
            described.customer_id,
            described.gender,
            described.age,
            totalled.mean_buy_price,
            totalled.total_coupons_used,
            totalled.mean_discount_received,
            totalled.unique_products_bought,
            totalled.unique_products_bought_with_coupons,
            totalled.total_items_bought
        from described
        inner join totalled on described.customer_id = totalled.customer_id

    )

select *
from final
