{# The linearly interpolated 20, 40, 60 and 80 % quantiles of an expression, as fifth_bound_1 to _4, or by another prefix. #}
{% macro fifth_bounds(expression, prefix="fifth") -%}
    {%- for bound in range(1, 5) %}
        percentile_cont({{ bound / 5 }}) within group (
            order by cast({{ expression }} as double precision)
        ) as {{ prefix }}_bound_{{ bound }}
        {%- if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro %}

{# The fifth (1 is lowest) that an expression is in; bounds belong to the lower fifth, so ties stay together. #}
{% macro fifth(expression, prefix="fifth") -%}
    case
        {%- for bound in range(1, 5) %}
            when
                cast({{ expression }} as double precision)
                <= {{ prefix }}_bound_{{ bound }}
            then {{ bound }}
        {%- endfor %}
        else 5
    end
{%- endmacro %}
