-- A line counts if its order is known, and a coupon applies to a product if both are.
with
    order_lines as (select * from {{ ref("int_order_lines_gathered") }}),

    orders as (select * from {{ ref("int_orders_gathered") }}),

    coupon_products as (select * from {{ ref("stg_store__coupon_products") }}),

    coupons as (select * from {{ ref("int_coupons_gathered") }}),

    products as (select * from {{ ref("int_products_assigned") }}),

    outcomes as ({{ outcomes_by_dataset(store_drop_reasons()) }}),

    judged as (

        select
            'order_lines' as dataset,
            case
                when orders.order_id is null then 'unknown order' else 'kept'
            end as outcome
        from order_lines
        left join orders on order_lines.order_id = orders.order_id
        union all
        select
            'coupon_products' as dataset,
            case
                when coupons.coupon_id is null
                then 'unknown coupon'
                when products.product_id is null
                then 'unknown product'
                else 'kept'
            end as outcome
        from coupon_products
        left join coupons on coupon_products.coupon_id = coupons.coupon_id
        left join products on coupon_products.product_id = products.product_id

    ),

    counted as (select dataset, outcome, count(*) as lines from judged group by 1, 2),

    final as (

        select outcomes.dataset, outcomes.outcome, coalesce(counted.lines, 0) as lines
        from outcomes
        left join
            counted
            on outcomes.dataset = counted.dataset
            and outcomes.outcome = counted.outcome

    )

select *
from final
