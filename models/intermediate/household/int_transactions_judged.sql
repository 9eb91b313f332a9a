-- Household analytics count a line when no field that they need is blank, something was
-- bought and paid for, its day is in the study's steady part and its week in the study,
-- the product is known and is not fuel, and its household still shopped on more than
-- one day. Any other line is dropped for the first reason that applies.
with
    transactions as (select * from {{ ref("stg_complete_journey__transactions") }}),

    products as (select * from {{ ref("stg_complete_journey__products") }}),

    lines_judged_alone as (

        select
            transactions.*,
            case
                when
                    transactions.household_key is null
                    or transactions.basket_id is null
                    or transactions.product_id is null
                    or transactions.quantity is null
                    or transactions.sales_value is null
                    or transactions.day is null
                    or transactions.week_no is null
                then 'blank field'
                when transactions.quantity <= 0 or transactions.sales_value <= 0
                then 'nothing bought or paid'
                when
                    transactions.day not between {{ var("scope_first_day") }}
                    and {{ var("scope_last_day") }}
                then 'outside the days in scope'
                when transactions.week_no not between 0 and {{ var("highest_week_no") }}
                then 'no week of the study'
                when products.product_id is null
                then 'unknown product'
                when products.sub_commodity = '{{ var("excluded_sub_commodity") }}'
                then 'fuel'
            end as drop_reason
        from transactions
        left join products on transactions.product_id = products.product_id

    ),

    households_of_one_day as (

        select household_key
        from lines_judged_alone
        where drop_reason is null
        group by 1
        having min(day) = max(day)

    ),

    final as (

        select
            lines.household_key,
            lines.basket_id,
            lines.product_id,
            lines.store_id,
            lines.quantity,
            lines.sales_value,
            lines.day,
            lines.week_no,
            coalesce(
                lines.drop_reason,
                case
                    when households_of_one_day.household_key is not null
                    then 'household of one day'
                end
            ) as drop_reason
        from lines_judged_alone as lines
        left join
            households_of_one_day
            on lines.household_key = households_of_one_day.household_key

    )

select *
from final
