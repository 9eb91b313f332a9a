with
    source as (select * from {{ raw("store", "customers") }}),

    final as (

        select
            cast(customer_id as bigint) as customer_id,
            nullif({{ trimmed("gender") }}, '') as gender,
            cast(age as integer) as age
        from source

    )

select *
from final
