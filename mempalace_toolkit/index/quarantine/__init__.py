"""Index folders that were set aside: their names, listing and giving back."""
