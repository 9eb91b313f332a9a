-- Fails if a view lacks a country or segment of the ranking, has an extra one, or names
-- another voucher than the most used one (in a tie, the larger).
with
    ranking as (select * from {{ ref("voucher_ranking") }}),

    most_used as (

        select country_code, segment_name, segment, max(times_used) as times_used
        from ranking
        group by 1, 2, 3

    ),

    expected as (

        select
            most_used.country_code,
            most_used.segment_name,
            most_used.segment,
            most_used.times_used,
            max(ranking.voucher_amount) as voucher_amount
        from most_used
        inner join
            ranking
            on most_used.country_code = ranking.country_code
            and most_used.segment_name = ranking.segment_name
            and most_used.segment = ranking.segment
            and most_used.times_used = ranking.times_used
        group by 1, 2, 3, 4

    ),

    viewed as (

        select
            country_code,
            'country' as segment_name,
            'all' as segment,
            voucher_amount,
            times_used
        from {{ ref("country_voucher_details_view") }}
        union all
        select
            country_code,
            'frequency_segment' as segment_name,
            frequency_segment as segment,
            voucher_amount,
            times_used
        from {{ ref("frequency_voucher_details_view") }}
        union all
        select
            country_code,
            'recency_segment' as segment_name,
            recency_segment as segment,
            voucher_amount,
            times_used
        from {{ ref("recency_voucher_details_view") }}

    )

select
    expected.country_code,
    expected.segment_name,
    expected.segment,
    expected.voucher_amount,
    viewed.voucher_amount as viewed_amount
from expected
full join
    viewed
    on expected.country_code = viewed.country_code
    and expected.segment_name = viewed.segment_name
    and expected.segment = viewed.segment
where
    expected.voucher_amount is null
    or viewed.voucher_amount is null
    or expected.voucher_amount <> viewed.voucher_amount
    or expected.times_used <> viewed.times_used
