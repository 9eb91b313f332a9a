-- The voucher used most comes first; of two used equally often, the larger amount.
with
    vouchers as (select * from {{ ref("int_vouchers_counted") }}),

    final as (

        select
            *,
            cast(
                row_number() over (
                    partition by country_code, segment_name, segment
                    order by times_used desc, voucher_amount desc
                ) as integer
            ) as rank
        from vouchers

    )

select *
from final
