"""What rows are and where they come from."""
