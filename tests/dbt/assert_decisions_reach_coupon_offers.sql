-- Fails if the events of a day are not those of its departments plus those left out for
-- an unknown department, which must say so and have no offer.
with
    decided as (

        select
            event_date,
            sum(case when kind = 'entry' then 1 else 0 end) as entries,
            sum(
                case when kind = 'focus' and department is not null then 1 else 0 end
            ) as focuses,
            sum(case when outcome = 'offer' then 1 else 0 end) as offers,
            sum(
                case
                    when kind = 'focus' and department is null and reason is null
                    then 1
                    else 0
                end
            ) as left_out_without_reason
        from {{ ref("stg_events__decisions") }}
        group by 1

    ),

    served as (

        select
            event_date,
            min(entries) as fewest_entries,
            max(entries) as most_entries,
            sum(focuses) as focuses,
            sum(offers) as offers
        from {{ ref("coupon_offers") }}
        group by 1

    ),

    departments_counted as (

        select count(*) as departments from {{ ref("int_departments_known") }}

    )

select
    decided.event_date,
    decided.entries,
    decided.focuses,
    served.focuses as focuses_served,
    decided.offers,
    served.offers as offers_served,
    decided.left_out_without_reason
from decided
cross join departments_counted
left join served on decided.event_date = served.event_date
where
    decided.left_out_without_reason > 0
    -- Without departments there is nothing to stop at.
    or (
        departments_counted.departments > 0
        and (
            served.event_date is null
            or decided.entries <> served.fewest_entries
            or decided.entries <> served.most_entries
            or decided.focuses <> served.focuses
            or decided.offers <> served.offers
        )
    )
