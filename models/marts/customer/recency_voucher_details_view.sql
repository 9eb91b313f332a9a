with
    ranking as (select * from {{ ref("voucher_ranking") }}),

    final as (

        select
            country_code, segment as recency_segment, voucher_amount, times_used, share
        from ranking
        where segment_name = 'recency_segment' and rank = 1

    )

select *
from final
