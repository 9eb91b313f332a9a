-- A department is known when a product, a coupon or a decision names it.
with
    products as (select * from {{ ref("int_products_assigned") }}),

    coupons as (select * from {{ ref("int_coupons_gathered") }}),

    decisions as (select * from {{ ref("int_decisions_assigned") }}),

    named as (

        select department
        from products
        union
        select department
        from coupons
        union
        select department
        from decisions

    ),

    final as (select department from named where department is not null)

select *
from final
