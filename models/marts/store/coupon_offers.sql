with
    decisions as (select * from {{ ref("int_decisions_assigned") }}),

    departments as (select * from {{ ref("int_departments_known") }}),

    offers as (select * from {{ ref("int_offers_used") }}),

    orders as (select * from {{ ref("int_orders_gathered") }}),

    entries_counted as (

        select event_date, sum(case when kind = 'entry' then 1 else 0 end) as entries
        from decisions
        group by 1

    ),

    focuses_counted as (

        select event_date, department, count(*) as focuses
        from decisions
        where kind = 'focus'
        group by 1, 2

    ),

    offers_counted as (

        select
            event_date,
            department,
            count(*) as offers,
            sum(case when is_used then 1 else 0 end) as offers_used
        from offers
        group by 1, 2

    ),

    orders_counted as (select count(*) as orders from orders),

    final as (

        select
            entries_counted.event_date,
            departments.department,
            cast(entries_counted.entries as bigint) as entries,
            coalesce(focuses_counted.focuses, 0) as focuses,
            coalesce(offers_counted.offers, 0) as offers,
            cast(
                case
                    when orders_counted.orders > 0
                    then coalesce(offers_counted.offers_used, 0)
                end as bigint
            ) as offers_used
        from entries_counted
        cross join departments
        cross join orders_counted
        left join
            focuses_counted
            on entries_counted.event_date = focuses_counted.event_date
            and departments.department = focuses_counted.department
        left join
            offers_counted
            on entries_counted.event_date = offers_counted.event_date
            and departments.department = offers_counted.department

    )

select *
from final
