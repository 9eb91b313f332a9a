with
    source as (select * from {{ raw("household", "hh_demographic") }}),

    final as (

        select
            cast(household_key as bigint) as household_key,
            nullif(trim(age_desc), '') as age_range,
            nullif(trim(marital_status_code), '') as marital_status,
            nullif(trim(income_desc), '') as income_range,
            nullif(trim(homeowner_desc), '') as homeowner,
            nullif(trim(hh_comp_desc), '') as composition,
            nullif(trim(household_size_desc), '') as household_size,
            nullif(trim(kid_category_desc), '') as kid_category
        from source

    )

select *
from final
