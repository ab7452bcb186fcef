"""What is known of an index, and the kinds of damage that it can show."""
