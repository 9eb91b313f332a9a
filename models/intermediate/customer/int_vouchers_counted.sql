-- Vouchers are counted by country, for the country as a whole and for each segment; an
-- assignment without an amount, country or segment does not count there.
with
    assignments as (
        select * from {{ ref("int_voucher_assignments_segmented_by_recency") }}
    ),

    combined as (

        select
            country_code,
            frequency_segment,
            recency_segment,
            voucher_amount,
            count(*) as times_used
        from assignments
        where country_code is not null and voucher_amount is not null
        group by 1, 2, 3, 4

    ),

    listed as (

        select
            country_code,
            'country' as segment_name,
            'all' as segment,
            voucher_amount,
            times_used
        from combined
        union all
        select
            country_code,
            'frequency_segment' as segment_name,
            frequency_segment as segment,
            voucher_amount,
            times_used
        from combined
        where frequency_segment is not null
        union all
        select
            country_code,
            'recency_segment' as segment_name,
            recency_segment as segment,
            voucher_amount,
            times_used
        from combined
        where recency_segment is not null

    ),

    final as (

        select
            country_code,
            segment_name,
            segment,
            voucher_amount,
            cast(sum(times_used) as bigint) as times_used
        from listed
        group by 1, 2, 3, 4

    )

select *
from final
