"""Backup: makes one consistent copy of an installation, and restores it."""
