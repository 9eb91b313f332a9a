"""The measurement behind each speed claim."""
