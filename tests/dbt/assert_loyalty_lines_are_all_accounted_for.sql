-- Fails if the lines of a raw file and the live rows are not those that the cleaning
-- report counts.
with
    reported as (

        select dataset, sum(lines) as lines_reported
        from {{ ref("loyalty_cleaning_report") }}
        group by 1

    ),

    counted_apart as (

        select 'loyalty_list' as dataset, count(*) as lines_in
        from {{ ref("stg_promotions__loyalty_lines") }}
        union all
        select 'loyalty_list' as dataset, count(*) as lines_in
        from {{ ref("stg_events__loyalty_list") }}
        union all
        select 'conversions' as dataset, count(*) as lines_in
        from {{ ref("stg_promotions__conversion_lines") }}
        union all
        select 'conversions' as dataset, count(*) as lines_in
        from {{ ref("stg_events__conversions") }}

    ),

    counted as (select dataset, sum(lines_in) as lines_in from counted_apart group by 1)

select counted.dataset, counted.lines_in, reported.lines_reported
from counted
left join reported on counted.dataset = reported.dataset
where reported.dataset is null or counted.lines_in <> reported.lines_reported
