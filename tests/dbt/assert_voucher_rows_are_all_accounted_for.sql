-- Fails if the raw voucher assignments are not those of all outcomes of cleaning.
with
    counted as (

        select
            (
                select count(*) from {{ ref("stg_voucher_assignments__assignments") }}
            ) as raw_rows,
            (
                select coalesce(sum(rows), 0) from {{ ref("voucher_cleaning_report") }}
            ) as reported_rows

    )

select *
from counted
where raw_rows <> reported_rows
