"""Schema `events` of the serving database: what the service stores about events."""
