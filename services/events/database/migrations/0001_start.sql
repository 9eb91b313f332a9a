-- What the event service keeps. Tables with a `number` are facts that only grow: they land as data.

-- Tells this installation's sessions at a broker from another's.
create table events.identity (id uuid primary key default gen_random_uuid());
insert into events.identity default values;

-- Numbers of workers whose sessions a broker keeps.
create table events.workers (
    number integer primary key,
    started_at timestamptz not null default clock_timestamp()
);

create table events.inbox (
    event_key uuid primary key,
    kind text not null,
    worker text not null,
    received_at timestamptz not null default clock_timestamp()
);
create index on events.inbox (received_at);

-- One row per entry or focus event.
create table events.decisions (
    number bigint generated always as identity unique,
    event_key uuid primary key,
    kind text not null check (kind in ('entry', 'focus')),
    customer_id bigint not null,
    -- As the data spell it; null for an entry, and for a department that is not known.
    department text,
    event_at timestamptz not null,
    -- The day of event_at in the shop's time zone.
    event_date date not null,
    outcome text not null check (outcome in ('prepared', 'offer', 'no offer')),
    reason text,
    coupon_id bigint,
    prediction double precision,
    answer_id uuid,
    release integer,
    model text,
    decided_at timestamptz not null default clock_timestamp()
);

-- The best coupon of every department for who entered the shop.
create table events.contexts (
    customer_id bigint primary key,
    event_date date not null,
    release integer not null,
    model text not null,
    choices jsonb not null,
    prepared_at timestamptz not null default clock_timestamp()
);

-- Rows of the loyalty list as they came.
create table events.loyalty_list (
    number bigint generated always as identity unique,
    event_key uuid not null,
    line integer not null,
    email text not null,
    fb_user text,
    insta_user text,
    gender text,
    received_at timestamptz not null default clock_timestamp(),
    primary key (event_key, line)
);

-- Clicks, baskets and purchases as they came, and what followed.
create table events.conversions (
    number bigint generated always as identity unique,
    event_key uuid not null,
    line integer not null,
    promotion text not null,
    conversion_type text not null check (conversion_type in ('click', 'basket', 'purchase')),
    email text not null,
    channel text,
    items text,
    total numeric(18, 2),
    is_code_sent boolean not null,
    is_new_member boolean not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (event_key, line)
);

-- Who became a member through an event; released members are members, too.
create table events.members (
    email text primary key,
    fb_user text,
    insta_user text,
    gender text,
    joined_by text not null check (joined_by in ('list', 'purchase')),
    joined_at timestamptz not null default clock_timestamp()
);

-- One code per promotion and member.
create table events.promo_codes (
    promotion text not null,
    email text not null,
    answer_id uuid not null,
    sent_at timestamptz not null default clock_timestamp(),
    primary key (promotion, email)
);

-- Coupons as shops get them, each once: one of a department lists hundreds of products.
create table events.documents (
    document_key uuid primary key,
    body bytea not null,
    made_at timestamptz not null default clock_timestamp()
);

-- Messages to publish: opening, document, closing. published_at is when the broker acknowledged it.
create table events.outbox (
    number bigint generated always as identity primary key,
    answer_id uuid not null unique,
    event_key uuid not null,
    topic text not null,
    opening bytea not null,
    document_key uuid references events.documents,
    closing bytea not null,
    worker text not null,
    leased_until timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    published_at timestamptz
);
create index on events.outbox (leased_until) where published_at is null;
create index on events.outbox (published_at) where published_at is not null;
create index on events.outbox (document_key);

-- What could not be read, with the reason; a replay that works sets resolved_at.
create table events.dead_letter (
    id bigint generated always as identity primary key,
    event_key uuid not null unique,
    kind text not null,
    topic text not null,
    payload bytea not null,
    is_whole boolean not null,
    reason text not null,
    attempts integer not null default 1,
    received_at timestamptz not null default clock_timestamp(),
    replay_requested_at timestamptz,
    resolved_at timestamptz
);
