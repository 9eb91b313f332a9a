-- Sales of a product in a store with a display, or in the mailer, are compared with its
-- sales there in the other weeks that the promotion data cover.
with
    promoted as (select * from {{ ref("int_product_weeks_promoted") }}),

    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    window_weeks as (select * from {{ ref("int_window_chosen") }}),

    sold_weeks as (

        select
            transactions.product_id,
            transactions.store_id,
            transactions.week_no - window_weeks.first_promotion_week_no as week_no,
            sum(transactions.quantity) as units,
            sum(transactions.sales_value) as sales
        from transactions
        cross join window_weeks
        where transactions.week_no >= window_weeks.first_promotion_week_no
        group by 1, 2, 3

    ),

    weeks_covered as (select {{ week_set_union("covered") }} from promoted),

    weeks_counted as (
        select {{ count_weeks("covered") }} as covered_weeks from weeks_covered
    ),

    sold_weeks_marked as (

        select
            sold_weeks.*,
            {{ week_is_in("sold_weeks.week_no", "promoted.display") }} as on_display,
            {{ week_is_in("sold_weeks.week_no", "promoted.mailer") }} as in_mailer
        from sold_weeks
        cross join weeks_covered
        inner join
            promoted
            on sold_weeks.product_id = promoted.product_id
            and sold_weeks.store_id = promoted.store_id
        where {{ week_is_in("sold_weeks.week_no", "weeks_covered.covered") }} = 1

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
            promoted.product_id,
            promoted.store_id,
            weeks_counted.covered_weeks,
            {{ count_weeks("promoted.display") }} as display_weeks,
            {{ count_weeks("promoted.mailer") }} as mailer_weeks,
            coalesce(pairs_sold.units, 0) as units,
            cast(coalesce(pairs_sold.sales, 0) as decimal(18, 2)) as sales,
            coalesce(pairs_sold.display_units, 0) as display_units,
            cast(
                coalesce(pairs_sold.display_sales, 0) as decimal(18, 2)
            ) as display_sales,
            coalesce(pairs_sold.mailer_units, 0) as mailer_units,
            cast(coalesce(pairs_sold.mailer_sales, 0) as decimal(18, 2)) as mailer_sales
        from promoted
        cross join weeks_counted
        left join
            pairs_sold
            on promoted.product_id = pairs_sold.product_id
            and promoted.store_id = pairs_sold.store_id

    )

select *
from final
