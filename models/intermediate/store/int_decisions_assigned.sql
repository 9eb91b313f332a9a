-- A decision belongs to the department that the data name; Sports means Sport. A
-- decision for an unknown department, or for an entry, belongs to none.
with
    decisions as (select * from {{ ref("stg_events__decisions") }}),

    final as (

        select
            event_key,
            kind,
            customer_id,
            {{ department("department") }} as department,
            coupon_id,
            outcome,
            reason,
            event_date,
            event_shop_time
        from decisions

    )

select *
from final
