with
    segment_history as (select * from {{ ref("household_segment_history") }}),

    window_days as (select * from {{ ref("int_window_chosen") }}),

    today as (

        select
            segment_history.*,
            window_days.last_day - segment_history.last_day as days_since_visit
        from segment_history
        inner join window_days on segment_history.period_end = window_days.last_day

    ),

    final as (

        select
            household_key,
            segment,
            since_day,
            since_date,
            r_score,
            f_score,
            m_score,
            last_day,
            last_date,
            days_since_visit,
            baskets_per_day,
            total_sales,
            {{ visit_in_words("days_since_visit") }}
            || ', '
            || {{ frequency_in_words("f_score") }}
            || ', '
            || {{ sales_in_words("m_score") }} as why
        from today

    )

select *
from final
