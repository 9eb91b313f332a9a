with
    source as (select * from {{ raw("learned", "product_recommendations") }}),

    final as (

        select
            cast(household_key as bigint) as household_key,
            cast(rank as integer) as rank,
            cast(product_id as bigint) as product_id,
            {{ as_double("score") }} as score,
            {{ as_text("kind") }} as kind,
            {{ as_text("reason") }} as reason,
            cast(purchases as integer) as purchases,
            cast(usual_days as integer) as usual_days,
            cast(last_days as integer) as last_days
        from source

    )

select *
from final
