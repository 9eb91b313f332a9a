with
    numbered as (select * from {{ ref("int_summaries_numbered") }}),

    demographics as (select * from {{ ref("int_households_described") }}),

    rfm as (select * from {{ ref("household_rfm") }}),

    daily_spend as (select * from {{ ref("daily_hh_spend") }}),

    spend as (

        select
            household_key,
            {% for section in sections() -%}
                {{ sum_money(section) }} as {{ section }},
            {% endfor -%}
            {{ sum_money("total_sales") }} as total_sales
        from daily_spend
        group by 1

    ),

    final as (

        select
            numbered.index,
            rfm.household_key,
            demographics.age_45_plus,
            demographics.{{ adapter.quote("income_50K_plus") }},
            demographics.single_couple_family,
            demographics.has_kids,
            demographics.single,
            demographics.couple,
            rfm.r_score,
            rfm.f_score,
            rfm.m_score,
            rfm.rfm_score,
            rfm.rfm_bins,
            {% for section in sections() -%} spend.{{ section }}, {% endfor -%}
            spend.total_sales
        from numbered
        inner join rfm on numbered.household_key = rfm.household_key
        inner join demographics on rfm.household_key = demographics.household_key
        inner join spend on rfm.household_key = spend.household_key

    )

select *
from final
