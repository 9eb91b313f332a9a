-- What households bought since they were learned changes theirs between two builds:
-- depends_on: {{ ref("int_purchases_recommendable") }}
with
    recommendations as (
        select * from {{ ref("stg_learned__product_recommendations") }}
    ),

    products as (select * from {{ ref("int_products_sectioned") }}),

    final as (

        select
            recommendations.household_key,
            recommendations.rank,
            recommendations.product_id,
            recommendations.score,
            recommendations.kind,
            recommendations.reason,
            recommendations.purchases,
            recommendations.usual_days,
            recommendations.last_days,
            products.department,
            products.commodity,
            products.sub_commodity,
            products.brand,
            products.size
        from recommendations
        left join products on recommendations.product_id = products.product_id

    )

select *
from final
