with
    households as (select * from {{ ref("household_rfm") }}),

    segment_grid as (select * from {{ ref("segment_grid") }}),

    segment_history as (select * from {{ ref("household_segment_history") }}),

    window_days as (select * from {{ ref("int_window_chosen") }}),

    since_days as (

        select
            segment_history.household_key,
            segment_history.since_day,
            segment_history.since_date
        from segment_history
        inner join window_days on segment_history.period_end = window_days.last_day

    ),

    measured as (

        select
            households.*, window_days.last_day - households.last_day as days_since_visit
        from households
        cross join window_days

    ),

    final as (

        select
            measured.household_key,
            segment_grid.segment,
            since_days.since_day,
            since_days.since_date,
            measured.r_score,
            measured.f_score,
            measured.m_score,
            measured.last_day,
            measured.days_since_visit,
            measured.baskets_per_day,
            measured.total_sales,
            {{ visit_in_words("measured.days_since_visit") }}
            || ', '
            || {{ frequency_in_words("measured.f_score") }}
            || ', '
            || {{ sales_in_words("measured.m_score") }} as why
        from measured
        inner join
            segment_grid
            on measured.r_score = segment_grid.r_score
            and measured.f_score = segment_grid.f_score
            and measured.m_score = segment_grid.m_score
        inner join since_days on measured.household_key = since_days.household_key

    )

select *
from final
