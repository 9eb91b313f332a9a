-- A choice holds for the threshold that it was made with. What was prepared is made again.
delete from events.contexts;
alter table events.contexts add column threshold double precision not null;

-- Answers that wait go out in their order, however many there are.
drop index events.outbox_leased_until_idx;
create index on events.outbox (number) where published_at is null;

-- Asked for every second.
create index on events.dead_letter (id)
where replay_requested_at is not null and resolved_at is null;
