with
    assignments as (select * from {{ ref("int_voucher_assignments_judged") }}),

    reasons as (

        select
            coalesce(drop_reason, 'kept') as outcome,
            count(*) as distinct_rows,
            sum(times_listed) as raw_rows
        from assignments
        group by 1

    ),

    -- A kept row counts once: its repetitions are dropped.
    found as (

        select
            outcome,
            case when outcome = 'kept' then distinct_rows else raw_rows end as rows
        from reasons
        union all
        select 'exact duplicate' as outcome, raw_rows - distinct_rows as rows
        from reasons
        where outcome = 'kept'
        {% for outcome in voucher_outcomes() %}
            union all
            select '{{ outcome }}' as outcome, 0 as rows
        {% endfor %}

    ),

    final as (

        select outcome, cast(sum(rows) as bigint) as rows, outcome = 'kept' as is_kept
        from found
        group by 1, 3

    )

select *
from final
