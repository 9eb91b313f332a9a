with
    source as (select * from {{ raw("household", "campaign_desc") }}),

    final as (

        select
            cast(campaign as bigint) as campaign,
            nullif({{ trimmed("description") }}, '') as campaign_type,
            cast(start_day as integer) as start_day,
            cast(end_day as integer) as end_day
        from source

    )

select *
from final
