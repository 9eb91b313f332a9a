-- Fails if the sales of all lines in scope are not the sales of all households.
with
    summed as (

        select
            (
                select sum(sales_value) from {{ ref("int_transactions_in_scope") }}
            ) as line_sales,
            (select sum(total_sales) from {{ ref("household_rfm") }}) as household_sales

    )

select *
from summed
where line_sales <> household_sales or (line_sales is null) <> (household_sales is null)
