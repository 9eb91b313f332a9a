-- Purchases as they came, a row per line; their numbers are in the order in which they appear.
create table events.basket_lines (
    number bigint generated always as identity unique,
    event_key uuid not null,
    line integer not null,
    household_key bigint not null,
    basket_id bigint not null,
    -- By the shop's clock.
    day integer not null,
    trans_time integer,
    store_id bigint,
    product_id bigint not null,
    quantity bigint not null,
    sales_value numeric(18, 2) not null,
    retail_disc numeric(18, 2),
    coupon_disc numeric(18, 2),
    coupon_match_disc numeric(18, 2),
    received_at timestamptz not null default clock_timestamp(),
    primary key (event_key, line)
);
create table events.order_lines (
    number bigint generated always as identity unique,
    event_key uuid not null,
    line integer not null,
    order_id bigint not null,
    customer_id bigint not null,
    event_at timestamptz not null,
    product_id bigint not null,
    coupon_id bigint,
    original_price numeric(18, 2),
    paid_price numeric(18, 2) not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (event_key, line)
);
-- Whom an erasure looks for.
create index on events.basket_lines (household_key);
create index on events.order_lines (customer_id);
