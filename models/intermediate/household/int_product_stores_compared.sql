-- What a product sold in a store with a display, or in the mailer, is set against
-- what it sold
-- there in the other weeks that the promotion data cover.
with
    promoted_weeks as (select * from {{ ref("int_product_weeks_promoted") }}),

    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    sold_weeks as (

        select
            product_id,
            store_id,
            week_no,
            {{ week_span("week_no") }} as span_start,
            sum(quantity) as units,
            sum(sales_value) as sales
        from transactions
        group by 1, 2, 3

    ),

    covered_spans as (

        select span_start, bit_or(covered_weeks) as covered_weeks
        from promoted_weeks
        group by 1

    ),

    weeks_counted as (

        select sum({{ count_weeks("covered_weeks") }}) as covered_weeks
        from covered_spans

    ),

    pairs_promoted as (

        select
            product_id,
            store_id,
            sum({{ count_weeks("display_weeks") }}) as display_weeks,
            sum({{ count_weeks("mailer_weeks") }}) as mailer_weeks
        from promoted_weeks
        group by 1, 2

    ),

    sold_weeks_covered as (

        select sold_weeks.*
        from sold_weeks
        inner join covered_spans on sold_weeks.span_start = covered_spans.span_start
        where
            {{
                week_is_in(
                    "sold_weeks.week_no",
                    "sold_weeks.span_start",
                    "covered_spans.covered_weeks",
                )
            }} = 1

    ),

    sold_weeks_marked as (

        select
            sold_weeks.*,
            coalesce(
                {{
                    week_is_in(
                        "sold_weeks.week_no",
                        "sold_weeks.span_start",
                        "promoted.display_weeks",
                    )
                }},
                0
            ) as on_display,
            coalesce(
                {{
                    week_is_in(
                        "sold_weeks.week_no",
                        "sold_weeks.span_start",
                        "promoted.mailer_weeks",
                    )
                }},
                0
            ) as in_mailer
        from sold_weeks_covered as sold_weeks
        left join
            promoted_weeks as promoted
            on sold_weeks.product_id = promoted.product_id
            and sold_weeks.store_id = promoted.store_id
            and sold_weeks.span_start = promoted.span_start

    ),

    pairs_sold as (

        select
            product_id,
            store_id,
            sum(units) as units,
            sum(sales) as sales,
            sum(units * on_display) as display_units,
            sum(sales * on_display) as display_sales,
            sum(units * in_mailer) as mailer_units,
            sum(sales * in_mailer) as mailer_sales
        from sold_weeks_marked
        group by 1, 2

    ),

    final as (

        select
            pairs.product_id,
            pairs.store_id,
            weeks_counted.covered_weeks,
            pairs.display_weeks,
            pairs.mailer_weeks,
            coalesce(pairs_sold.units, 0) as units,
            cast(coalesce(pairs_sold.sales, 0) as decimal(18, 2)) as sales,
            coalesce(pairs_sold.display_units, 0) as display_units,
            cast(
                coalesce(pairs_sold.display_sales, 0) as decimal(18, 2)
            ) as display_sales,
            coalesce(pairs_sold.mailer_units, 0) as mailer_units,
            cast(coalesce(pairs_sold.mailer_sales, 0) as decimal(18, 2)) as mailer_sales
        from pairs_promoted as pairs
        cross join weeks_counted
        left join
            pairs_sold
            on pairs.product_id = pairs_sold.product_id
            and pairs.store_id = pairs_sold.store_id
        where pairs.display_weeks > 0 or pairs.mailer_weeks > 0

    )

select *
from final
