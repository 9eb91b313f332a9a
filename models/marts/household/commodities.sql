with
    products as (select * from {{ ref("int_products_sectioned") }}),

    lines as (select * from {{ ref("int_transactions_in_scope") }}),

    sold as (

        select
            product_id, count(*) as lines, {{ sum_money("sales_value") }} as total_sales
        from lines
        group by 1

    ),

    final as (

        select
            products.commodity,
            products.section,
            count(*) as products,
            cast(coalesce(sum(sold.lines), 0) as bigint) as lines,
            {{ sum_money("sold.total_sales") }} as total_sales
        from products
        left join sold on products.product_id = sold.product_id
        where products.commodity is not null
        group by 1, 2

    )

select *
from final
