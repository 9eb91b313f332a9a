-- The live rows of the customer that choices rest on, by their revision; 0 for none.
alter table events.contexts add column revision bigint not null default 0;
