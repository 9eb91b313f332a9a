with
    source as (select * from {{ raw("store", "customer_info") }}),

    final as (

        select
            cast(customer_id as bigint) as customer_id,
            nullif({{ trimmed("gender") }}, '') as gender,
            cast(age as integer) as age,
            cast(mean_buy_price as decimal(18, 2)) as mean_buy_price,
            cast(total_coupons_used as bigint) as total_coupons_used,
            {{ two_decimals("mean_discount_received") }} as mean_discount_received,
            cast(unique_products_bought as bigint) as unique_products_bought,
            cast(
                unique_products_bought_with_coupons as bigint
            ) as unique_products_bought_with_coupons,
            cast(total_items_bought as bigint) as total_items_bought
        from source

    )

select *
from final
