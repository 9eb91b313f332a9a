with
    baskets as (select * from {{ ref("int_baskets_with_commodities") }}),

    pairs as (select * from {{ ref("int_commodity_pairs_counted") }}),

    totals as (select count(distinct basket_id) as all_baskets from baskets),

    commodities as (

        select commodity_number, commodity, count(*) as baskets
        from baskets
        group by 1, 2

    ),

    both_directions as (

        select commodity_number, other_commodity_number, baskets
        from pairs
        union all
        select other_commodity_number, commodity_number, baskets
        from pairs

    ),

    counted as (

        select
            one.commodity,
            other.commodity as associated_commodity,
            both_directions.baskets,
            one.baskets as commodity_baskets,
            other.baskets as associated_baskets,
            totals.all_baskets
        from both_directions
        inner join
            commodities as one
            on both_directions.commodity_number = one.commodity_number
        inner join
            commodities as other
            on both_directions.other_commodity_number = other.commodity_number
        cross join totals

    ),

    final as (

        select
            commodity,
            associated_commodity,
            cast(baskets as bigint) as baskets,
            cast(commodity_baskets as bigint) as commodity_baskets,
            cast(associated_baskets as bigint) as associated_baskets,
            cast(all_baskets as bigint) as all_baskets,
            {{ divide("baskets", "all_baskets") }} as support,
            {{ divide("baskets", "commodity_baskets") }} as confidence,
            -- Whole numbers until the one division, so that engines agree.
            {{
                divide(
                    "baskets * all_baskets", "commodity_baskets * associated_baskets"
                )
            }} as lift,
            {{
                divide(
                    "baskets * all_baskets - commodity_baskets * associated_baskets",
                    "all_baskets * all_baskets",
                )
            }} as leverage,
            {{
                divide(
                    "(all_baskets - associated_baskets) * commodity_baskets",
                    "all_baskets * (commodity_baskets - baskets)",
                )
            }} as conviction
        from counted

    )

select *
from final
