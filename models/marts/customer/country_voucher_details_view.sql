with
    ranking as (select * from {{ ref("voucher_ranking") }}),

    final as (

        select country_code, voucher_amount, times_used, share
        from ranking
        where segment_name = 'country' and rank = 1

    )

select *
from final
