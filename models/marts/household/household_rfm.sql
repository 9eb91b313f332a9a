with
    households as (select * from {{ ref("int_households_measured") }}),

    recency as (select * from {{ ref("int_households_scored_recency") }}),

    frequency as (select * from {{ ref("int_households_scored_frequency") }}),

    monetary as (select * from {{ ref("int_households_scored_monetary") }}),

    demographics as (select * from {{ ref("int_households_described") }}),

    scored as (

        select
            households.*,
            recency.r_score,
            frequency.f_score,
            monetary.m_score,
            recency.r_score + frequency.f_score + monetary.m_score as rfm_score,
            demographics.household_key is not null as has_demographics
        from households
        inner join recency on households.household_key = recency.household_key
        inner join frequency on households.household_key = frequency.household_key
        inner join monetary on households.household_key = monetary.household_key
        left join demographics on households.household_key = demographics.household_key

    ),

    final as (

        select
            household_key,
            first_day,
            {{ date_of("first_day") }} as first_date,
            last_day,
            {{ date_of("last_day") }} as last_date,
            baskets,
            baskets_per_day,
            total_sales,
            r_score,
            f_score,
            m_score,
            rfm_score,
            {{ step("rfm_score", var("rfm_bin_last_scores")) }} as rfm_bins,
            has_demographics
        from scored

    )

select *
from final
