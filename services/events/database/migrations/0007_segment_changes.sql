-- What was told of households whose segment changed: the last row of each says which one was told.
create table events.segment_changes (
    number bigint generated always as identity primary key,
    household_key bigint not null,
    -- Null where it was in none, or is in none any more.
    segment_before text,
    segment text,
    cause text not null check (cause in ('purchase', 'day', 'release')),
    why text,
    -- The last purchase in the household's live rows; null where a release tells of it.
    event_key uuid,
    release integer not null,
    answer_id uuid not null unique,
    changed_at timestamptz not null default clock_timestamp()
);
create index on events.segment_changes (household_key, number);
create index on events.segment_changes (changed_at);
