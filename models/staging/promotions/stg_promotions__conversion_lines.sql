with
    source as (select * from {{ raw("loyalty", "conversions") }}),

    final as (select nullif({{ trimmed("line") }}, '') as line from source)

select *
from final
