-- Fails if one of the 125 combinations of scores has no segment, more than one, or one
-- that is not on the list.
with
    scores as (

        {% for score in range(1, 6) %}
            select {{ score }} as score
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}

    ),

    counted as (

        select
            recency.score as r_score,
            frequency.score as f_score,
            monetary.score as m_score,
            count(grid.segment) as cells,
            count(segments.segment) as known
        from scores as recency
        cross join scores as frequency
        cross join scores as monetary
        left join
            {{ ref("segment_grid") }} as grid
            on recency.score = grid.r_score
            and frequency.score = grid.f_score
            and monetary.score = grid.m_score
        left join {{ ref("segments") }} as segments on grid.segment = segments.segment
        group by 1, 2, 3

    )

select *
from counted
where cells <> 1 or known <> 1
