with
    transactions as (select * from {{ ref("int_transactions_in_scope") }}),

    campaign_products as (select * from {{ ref("int_campaign_products_listed") }}),

    product_days as (

        select
            day,
            product_id,
            count(*) as lines,
            sum(quantity) as quantity,
            sum(sales_value) as sales_value
        from transactions
        group by 1, 2

    ),

    final as (

        select
            product_days.day,
            {{ date_of("product_days.day") }} as date,
            campaign_products.campaign,
            cast(sum(product_days.lines) as bigint) as lines,
            cast(sum(product_days.quantity) as bigint) as quantity,
            {{ sum_money("product_days.sales_value") }} as total_sales
        from product_days
        inner join
            campaign_products on product_days.product_id = campaign_products.product_id
        group by 1, 3

    )

select *
from final
