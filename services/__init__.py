"""What serves releases; knows nothing of how they are made."""
