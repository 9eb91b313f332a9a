-- The fifths that frequency and monetary value are scored by: the bounds between them
-- over all households in scope, as of the end of each period.
{{ config(materialized="table") }}

with
    households as (select * from {{ ref("int_households_measured_by_period") }}),

    measures as (

        select
            periods_ago, baskets_per_day, {{ log_of_sales("total_sales") }} as log_sales
        from households

    ),

    bounds as (

        select
            periods_ago,
            {{ fifth_bounds("baskets_per_day") }} as frequency_bounds,
            {{ fifth_bounds("log_sales") }} as monetary_bounds
        from measures
        group by 1

    ),

    final as (

        select
            periods_ago,
            {%- for measure in ["frequency", "monetary"] -%}
                {%- set last_measure = loop.last -%}
                {%- for bound in range(1, 5) %}
                    {{ item_of(measure ~ "_bounds", bound) }}
                    as {{ measure }}_bound_{{ bound }}
                    {{- "," if not (last_measure and loop.last) }}
                {%- endfor %}
            {%- endfor %}
        from bounds

    )

select *
from final
