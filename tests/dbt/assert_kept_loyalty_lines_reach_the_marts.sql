-- Fails if the lines kept are not the members by list and the conversions.
with
    served as (

        select 'loyalty_list' as dataset, count(*) as lines_served
        from {{ ref("members") }}
        where joined_by = 'list'
        union all
        select 'conversions' as dataset, count(*) as lines_served
        from {{ ref("conversions") }}

    )

select report.dataset, report.lines, served.lines_served
from {{ ref("loyalty_cleaning_report") }} as report
inner join served on report.dataset = served.dataset
where report.outcome = 'kept' and report.lines <> served.lines_served
