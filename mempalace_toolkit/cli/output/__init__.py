"""What a command shows: text, progress, errors."""
