with
    recommendations as (
        select * from {{ ref("stg_learned__product_recommendations") }}
    ),

    final as (

        select
            household_key,
            rank,
            product_id,
            score,
            kind,
            reason,
            purchases,
            usual_days,
            last_days
        from recommendations

    )

select *
from final
