with
    product_stores as (select * from {{ ref("int_product_stores_compared") }}),

    products as (select * from {{ ref("stg_complete_journey__products") }}),

    {% for support in ["display", "mailer"] -%}
        {{ support }}_effect as (

            select
                coalesce(products.commodity, 'unknown') as commodity,
                '{{ support }}' as support,
                sum(product_stores.{{ support }}_weeks) as weeks_with,
                sum(product_stores.{{ support }}_units) as units_with,
                sum(product_stores.{{ support }}_sales) as sales_with,
                sum(
                    product_stores.covered_weeks - product_stores.{{ support }}_weeks
                ) as weeks_without,
                sum(
                    product_stores.units - product_stores.{{ support }}_units
                ) as units_without,
                sum(
                    product_stores.sales - product_stores.{{ support }}_sales
                ) as sales_without
            from product_stores
            left join products on product_stores.product_id = products.product_id
            where product_stores.{{ support }}_weeks > 0
            group by 1

        ),

    {% endfor -%}
    effects as (

        select *
        from display_effect
        union all
        select *
        from mailer_effect

    ),

    rated as (

        select
            *,
            {{ divide("units_with", "weeks_with") }} as units_per_week_with,
            {{ divide("units_without", "weeks_without") }} as units_per_week_without,
            {{ divide("sales_with", "weeks_with") }} as sales_per_week_with,
            {{ divide("sales_without", "weeks_without") }} as sales_per_week_without
        from effects

    ),

    final as (

        select
            commodity,
            support,
            cast(weeks_with as bigint) as product_store_weeks_with,
            cast(units_with as bigint) as units_with,
            cast(sales_with as decimal(18, 2)) as sales_with,
            cast(weeks_without as bigint) as product_store_weeks_without,
            cast(units_without as bigint) as units_without,
            cast(sales_without as decimal(18, 2)) as sales_without,
            {{ divide("units_per_week_with", "units_per_week_without") }}
            as units_ratio,
            {{ divide("sales_per_week_with", "sales_per_week_without") }} as sales_ratio
        from rated

    )

select *
from final
