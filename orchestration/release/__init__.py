"""Release: marts that passed every test go to the serving store, all at once."""
