-- A kind of support is judged by the products and stores that had it at some time:
-- what they
-- sold per product, store and week with it, against the other weeks that the
-- promotion data
-- cover.
with
    promoted_weeks as (select * from {{ ref("int_product_weeks_promoted") }}),

    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    products as (select * from {{ ref("stg_complete_journey__products") }}),

    sold_weeks as (

        select
            product_id,
            store_id,
            week_no,
            sum(quantity) as units,
            sum(sales_value) as sales
        from transactions
        group by 1, 2, 3

    ),

    weeks_in_scope as (

        select min(week_no) as first_week, max(week_no) as last_week from sold_weeks

    ),

    promoted_weeks_in_scope as (

        select promoted_weeks.*
        from promoted_weeks
        inner join
            weeks_in_scope
            on promoted_weeks.week_no
            between weeks_in_scope.first_week and weeks_in_scope.last_week

    ),

    weeks_covered as (select distinct week_no from promoted_weeks_in_scope),

    weeks_counted as (select count(*) as covered_weeks from weeks_covered),

    promoted_pairs as (

        select
            promoted.product_id,
            promoted.store_id,
            sum(promoted.on_display) as display_weeks,
            sum(promoted.on_display * sold_weeks.units) as display_units,
            sum(promoted.on_display * sold_weeks.sales) as display_sales,
            sum(promoted.in_mailer) as mailer_weeks,
            sum(promoted.in_mailer * sold_weeks.units) as mailer_units,
            sum(promoted.in_mailer * sold_weeks.sales) as mailer_sales
        from promoted_weeks_in_scope as promoted
        left join
            sold_weeks
            on promoted.product_id = sold_weeks.product_id
            and promoted.store_id = sold_weeks.store_id
            and promoted.week_no = sold_weeks.week_no
        group by 1, 2

    ),

    sold_pairs as (

        select
            sold_weeks.product_id,
            sold_weeks.store_id,
            sum(sold_weeks.units) as units,
            sum(sold_weeks.sales) as sales
        from sold_weeks
        inner join weeks_covered on sold_weeks.week_no = weeks_covered.week_no
        group by 1, 2

    ),

    {% for kind in ["display", "mailer"] -%}
        {{ kind }}_effect as (

            select
                coalesce(products.commodity, 'unknown') as commodity,
                '{{ kind }}' as support,
                sum(pairs.{{ kind }}_weeks) as weeks_with,
                coalesce(sum(pairs.{{ kind }}_units), 0) as units_with,
                {{ sum_money("pairs." ~ kind ~ "_sales") }} as sales_with,
                sum(
                    weeks_counted.covered_weeks - pairs.{{ kind }}_weeks
                ) as weeks_without,
                coalesce(sum(sold_pairs.units), 0)
                - coalesce(sum(pairs.{{ kind }}_units), 0) as units_without,
                {{ sum_money("sold_pairs.sales") }}
                - {{ sum_money("pairs." ~ kind ~ "_sales") }} as sales_without
            from promoted_pairs as pairs
            cross join weeks_counted
            left join
                sold_pairs
                on pairs.product_id = sold_pairs.product_id
                and pairs.store_id = sold_pairs.store_id
            left join products on pairs.product_id = products.product_id
            where pairs.{{ kind }}_weeks > 0
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
