-- Age, income, size, kids and partnership of a household, from its demographics.
with
    demographics as (select * from {{ ref("stg_complete_journey__demographics") }}),

    final as (

        select
            household_key,
            coalesce(age_range in ('45-54', '55-64', '65+'), false) as age_45_plus,
            coalesce(
                income_range in (
                    '50-74K',
                    '75-99K',
                    '100-124K',
                    '125-149K',
                    '150-174K',
                    '175-199K',
                    '200-249K',
                    '250K+'
                ),
                false
            ) as {{ adapter.quote("income_50K_plus") }},
            case
                when household_size = '1'
                then 1
                when household_size = '2'
                then 2
                when household_size in ('3', '4', '5+')
                then 3
            end as single_couple_family,
            coalesce(
                composition in ('1 Adult Kids', '2 Adults Kids')
                or household_size in ('3', '4', '5+'),
                false
            ) as has_kids,
            coalesce(
                composition in ('Single Female', 'Single Male') or household_size = '1',
                false
            ) as single,
            coalesce(composition = '2 Adults No Kids', false) as couple
        from demographics

    )

select *
from final
