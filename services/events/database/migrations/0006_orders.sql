-- Whose an order was before its last event.
create index on events.order_lines (order_id);
