-- Two commodities are associated when enough baskets hold both; each pair counts once.
{{ config(materialized="table") }}

with
    baskets as (

        select basket_id, commodity_number
        from {{ ref("int_baskets_with_commodities") }}

    ),

    final as (

        select
            one.commodity_number,
            other.commodity_number as other_commodity_number,
            count(*) as baskets
        from baskets as one
        inner join
            baskets as other
            on one.basket_id = other.basket_id
            and one.commodity_number < other.commodity_number
        group by 1, 2
        having count(*) >= {{ var("association_min_baskets") }}

    )

select *
from final
