"""How Dagster runs in an installation: its home, its workers, and runs in this process."""
