"""What a run found and did, as values."""
