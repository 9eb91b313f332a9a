-- Fails if the cleaning report keeps another number of assignments than are segmented.
with
    counted as (

        select
            (
                select sum(rows) from {{ ref("voucher_cleaning_report") }} where is_kept
            ) as rows_kept,
            (
                select count(*) from {{ ref("voucher_assignment_segmented") }}
            ) as rows_segmented

    )

select *
from counted
where rows_kept is null or rows_kept <> rows_segmented
