-- A customer is anyone in the list, in the ready-made aggregates or with an order line;
-- gender and age come from the list, else from the aggregates.
with
    customers as (select * from {{ ref("stg_store__customers") }}),

    customer_summaries as (select * from {{ ref("stg_store__customer_summaries") }}),

    measured as (select * from {{ ref("int_customers_measured") }}),

    gathered as (

        select customer_id
        from customers
        union
        select customer_id
        from customer_summaries
        union
        select customer_id
        from measured

    ),

    final as (

        select
            gathered.customer_id,
            coalesce(customers.gender, summaries.gender) as gender,
            coalesce(customers.age, summaries.age) as age
        from gathered
        left join customers on gathered.customer_id = customers.customer_id
        left join
            customer_summaries as summaries
            on gathered.customer_id = summaries.customer_id

    )

select *
from final
