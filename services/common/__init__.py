"""What any service shares."""
