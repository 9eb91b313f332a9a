with
    source as (select * from {{ raw("events", "decisions") }}),

    final as (

        select
            {{ as_text("event_key") }} as event_key,
            {{ as_text("kind") }} as kind,
            cast(customer_id as bigint) as customer_id,
            nullif({{ trimmed(as_text("department")) }}, '') as department,
            cast(event_at as timestamp) as event_at,
            cast(event_shop_time as timestamp) as event_shop_time,
            cast(event_date as date) as event_date,
            {{ as_text("outcome") }} as outcome,
            nullif({{ trimmed(as_text("reason")) }}, '') as reason,
            cast(coupon_id as bigint) as coupon_id,
            {{ as_double("prediction") }} as prediction
        from source
        -- Events taken in before times were checked may have an infinite day.
        where event_date is null or {{ is_finite("cast(event_date as date)") }}

    )

select *
from final
