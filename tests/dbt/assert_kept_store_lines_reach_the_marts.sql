-- Fails if the report counts other lines as kept than those that the marts are made of,
-- or does not account for every line.
with
    counted as (

        select
            'order_lines' as dataset,
            (
                select count(*) from {{ ref("int_order_lines_discounted") }}
            ) as lines_kept,
            (select count(*) from {{ ref("int_order_lines_gathered") }}) as lines
        union all
        select
            'coupon_products' as dataset,
            (select count(*) from {{ ref("coupon_product") }}) as lines_kept,
            (select count(*) from {{ ref("stg_store__coupon_products") }}) as lines

    ),

    reported as (

        select
            dataset,
            sum(lines) as lines,
            sum(case when outcome = 'kept' then lines else 0 end) as lines_kept
        from {{ ref("store_cleaning_report") }}
        group by 1

    )

select
    counted.dataset,
    counted.lines,
    reported.lines as lines_reported,
    counted.lines_kept,
    reported.lines_kept as lines_kept_reported
from counted
left join reported on counted.dataset = reported.dataset
where
    counted.lines is distinct from reported.lines
    or counted.lines_kept is distinct from reported.lines_kept
