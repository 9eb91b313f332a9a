"""How Dagster runs in an installation: its home, its run workers, and runs in this process."""
