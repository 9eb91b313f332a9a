"""Release: publishes marts that passed every test to the serving database, all at once."""
