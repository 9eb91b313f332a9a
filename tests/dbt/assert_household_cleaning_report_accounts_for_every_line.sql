-- Fails if the report does not add up to the lines that landed, or counts other lines
-- as kept than those in scope.
with
    reported as (

        select
            sum(lines) as lines,
            sum(case when outcome = 'kept' then lines else 0 end) as lines_kept
        from {{ ref("household_cleaning_report") }}

    ),

    counted as (

        select
            (select count(*) from {{ ref("int_transactions_gathered") }}) as lines,
            (select count(*) from {{ ref("int_transactions_in_scope") }}) as lines_kept

    )

select
    reported.lines,
    reported.lines_kept,
    counted.lines as lines_in,
    counted.lines_kept as lines_in_scope
from reported
cross join counted
where reported.lines <> counted.lines or reported.lines_kept <> counted.lines_kept
