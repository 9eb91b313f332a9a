"""What is told of a release, by webhook and by MQTT: one document, made by the database.

Belongs here: the document. Does not belong here: who is told (`webhooks`, and the event service).
"""

TIME = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""

# A row per domain: domain, switched_at (text), document (json). Needs `release.row_counts`.
RELEASE_DOCUMENTS = f"""
select
    current.domain,
    to_char(current.switched_at at time zone 'UTC', {TIME}) as switched_at,
    json_build_object(
        'domain', current.domain,
        'number', current.number,
        'released_at', to_char(releases.released_at at time zone 'UTC', {TIME}),
        'switched_at', to_char(current.switched_at at time zone 'UTC', {TIME}),
        'rows', releases.rows,
        'marts', coalesce(
            (
                select json_object_agg(counted.mart, counted.rows order by counted.mart)
                from release.row_counts as counted
                where counted.domain = current.domain and counted.number = current.number
            ),
            '{{}}'
        )
    ) as document
from release.current as current
inner join release.releases as releases
    on releases.domain = current.domain and releases.number = current.number
"""
