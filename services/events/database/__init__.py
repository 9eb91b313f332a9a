"""Schema `events` of the serving database: what the service keeps of events."""
