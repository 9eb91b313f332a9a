with
    source as (select * from {{ raw("events", "decisions") }}),

    final as (

        select
            cast(event_key as text) as event_key,
            cast(kind as text) as kind,
            cast(customer_id as bigint) as customer_id,
            nullif({{ trimmed("cast(department as text)") }}, '') as department,
            cast(event_at as timestamp) as event_at,
            cast(event_shop_time as timestamp) as event_shop_time,
            cast(event_date as date) as event_date,
            cast(outcome as text) as outcome,
            nullif({{ trimmed("cast(reason as text)") }}, '') as reason,
            cast(coupon_id as bigint) as coupon_id,
            cast(prediction as double precision) as prediction
        from source
        -- Events taken in before times were checked may have an infinite day.
        where event_date is null or isfinite(cast(event_date as date))

    )

select *
from final
