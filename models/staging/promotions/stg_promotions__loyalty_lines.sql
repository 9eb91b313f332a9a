with
    source as (select * from {{ raw("loyalty", "loyalty_list") }}),

    final as (select nullif({{ trimmed("line") }}, '') as line from source)

select *
from final
