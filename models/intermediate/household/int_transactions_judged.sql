-- Household analytics count a line when no field that they need is blank, something was
-- bought and paid for, its day and its week are in the window, the product is known and
-- is not fuel, and its household still shopped on more than one day. Any other line is
-- dropped for the first reason that applies. A blank week is that of the day.
with
    transactions as (select * from {{ ref("int_transactions_gathered") }}),

    products as (select * from {{ ref("stg_complete_journey__products") }}),

    window_days as (select * from {{ ref("int_window_chosen") }}),

    lines_with_weeks as (

        select
            household_key,
            basket_id,
            product_id,
            store_id,
            quantity,
            sales_value,
            day,
            coalesce(week_no, cast({{ week_of("day") }} as integer)) as week_no
        from transactions

    ),

    lines_judged_alone as (

        select
            lines.*,
            case
                when
                    lines.household_key is null
                    or lines.basket_id is null
                    or lines.product_id is null
                    or lines.quantity is null
                    or lines.sales_value is null
                    or lines.day is null
                then 'blank field'
                when lines.quantity <= 0 or lines.sales_value <= 0
                then 'nothing bought or paid'
                when
                    lines.day not between window_days.first_day and window_days.last_day
                then 'outside the days in scope'
                when
                    lines.week_no not between window_days.first_week_no
                    and window_days.last_week_no
                then 'outside the weeks in scope'
                when products.product_id is null
                then 'unknown product'
                when products.sub_commodity = '{{ var("excluded_sub_commodity") }}'
                then 'fuel'
            end as drop_reason
        from lines_with_weeks as lines
        cross join window_days
        left join products on lines.product_id = products.product_id

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
