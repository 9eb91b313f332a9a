-- Fails if lines in are not lines in scope plus lines dropped, reason by reason.
with
    counted as (

        select
            (select count(*) from {{ ref("int_transactions_gathered") }}) as lines_in,
            (
                select count(*) from {{ ref("int_transactions_in_scope") }}
            ) as lines_in_scope,
            (
                select count(*)
                from {{ ref("int_transactions_judged") }}
                where drop_reason is not null
            ) as lines_dropped

    )

select *
from counted
where lines_in <> lines_in_scope + lines_dropped
