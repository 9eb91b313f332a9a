"""The `pollux` command."""
