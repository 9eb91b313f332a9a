-- The households of the summary, which are those in scope whose demographics are known,
-- have numbers from 0, in the order of their keys.
{{ config(materialized="table") }}

with
    households as (select * from {{ ref("int_households_measured") }}),

    demographics as (select * from {{ ref("int_households_described") }}),

    summarised as (

        select
            households.household_key,
            {{ floored_quotient("households.household_key", "1000") }} as thousand
        from households
        inner join demographics on households.household_key = demographics.household_key

    ),

    thousands as ({{ groups_of_rows("summarised", ["thousand"], ["thousand"]) }}),

    final as (

        select
            summarised.household_key,
            thousands.rows_before + row_number() over (
                partition by summarised.thousand order by summarised.household_key
            )
            - 1 as index
        from summarised
        inner join thousands on summarised.thousand = thousands.thousand

    )

select *
from final
