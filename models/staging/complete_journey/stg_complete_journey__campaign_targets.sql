with
    source as (select * from {{ raw("household", "campaign_table") }}),

    final as (

        select
            cast(campaign as bigint) as campaign,
            cast(household_key as bigint) as household_key,
            nullif({{ trimmed("description") }}, '') as campaign_type
        from source

    )

select *
from final
