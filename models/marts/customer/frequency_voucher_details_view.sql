with
    ranking as (select * from {{ ref("voucher_ranking") }}),

    final as (

        select
            country_code,
            segment as frequency_segment,
            voucher_amount,
            times_used,
            share
        from ranking
        where segment_name = 'frequency_segment' and rank = 1

    )

select *
from final
