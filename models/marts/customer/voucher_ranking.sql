with
    vouchers as (select * from {{ ref("int_vouchers_ranked") }}),

    final as (

        select
            country_code,
            segment_name,
            segment,
            voucher_amount,
            times_used,
            {{
                divide(
                    "times_used",
                    "sum(times_used) over (partition by country_code, segment_name, segment)",
                )
            }}
            as share,
            rank
        from vouchers

    )

select *
from final
