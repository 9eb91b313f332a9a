"""What each speed claim is measured by."""
