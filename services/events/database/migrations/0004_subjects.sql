-- Whom an erasure looks for, in tables that grow for good.
create index on events.decisions (customer_id);
create index on events.loyalty_list (email);
create index on events.conversions (email);
create index on events.promo_codes (email);
