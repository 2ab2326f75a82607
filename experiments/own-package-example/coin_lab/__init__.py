"""What coins can teach."""
