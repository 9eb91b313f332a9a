{# The linearly interpolated 20, 40, 60 and 80 % quantiles of an expression, as an array: one sort for all four. #}
{% macro fifth_bounds(expression) -%}
    percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (
        order by cast({{ expression }} as double precision)
    )
{%- endmacro %}

{# The fifth (1 is lowest) that an expression is in; bounds belong to the lower fifth, so ties stay together. #}
{% macro fifth(expression, bounds) -%}
    case
        {%- for bound in range(1, 5) %}
            when
                cast({{ expression }} as double precision) <= {{ bounds }} [{{ bound }}]
            then {{ bound }}
        {%- endfor %}
        else 5
    end
{%- endmacro %}
