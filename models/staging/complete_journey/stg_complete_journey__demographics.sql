with
    source as (select * from {{ raw("household", "hh_demographic") }}),

    final as (

        select
            cast(household_key as bigint) as household_key,
            nullif({{ trimmed("age_desc") }}, '') as age_range,
            nullif({{ trimmed("marital_status_code") }}, '') as marital_status,
            nullif({{ trimmed("income_desc") }}, '') as income_range,
            nullif({{ trimmed("homeowner_desc") }}, '') as homeowner,
            nullif({{ trimmed("hh_comp_desc") }}, '') as composition,
            nullif({{ trimmed("household_size_desc") }}, '') as household_size,
            nullif({{ trimmed("kid_category_desc") }}, '') as kid_category
        from source

    )

select *
from final
