"""Routes of the REST API, a module for each thing it tells about."""
