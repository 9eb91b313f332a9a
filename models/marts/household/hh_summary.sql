with
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

    summarised as (

        select
            rfm.household_key,
            {{ floored_quotient("rfm.household_key", "1000") }} as thousand
        from rfm
        inner join demographics on rfm.household_key = demographics.household_key
        inner join spend on rfm.household_key = spend.household_key

    ),

    thousands as ({{ groups_of_rows("summarised", ["thousand"], ["thousand"]) }}),

    numbered as (

        select
            summarised.household_key,
            thousands.rows_before + row_number() over (
                partition by summarised.thousand order by summarised.household_key
            )
            - 1 as index
        from summarised
        inner join thousands on summarised.thousand = thousands.thousand

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
