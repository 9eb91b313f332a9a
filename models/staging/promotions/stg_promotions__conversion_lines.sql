with
    source as (select * from {{ raw("loyalty", "conversions") }}),

    final as (select nullif(trim(line), '') as line from source)

select *
from final
