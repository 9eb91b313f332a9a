-- What an answer to a request needs besides its topic, and the threshold that a choice was made with.
alter table events.outbox add column event_id text, add column correlation_data bytea;
alter table events.decisions add column threshold double precision;

-- Whether a coupon was offered to a customer lately.
create index on events.decisions (customer_id, coupon_id, event_at) where outcome = 'offer';
