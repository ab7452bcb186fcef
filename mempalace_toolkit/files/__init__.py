"""Private folders, atomic writes, and exchanging folders, whatever is in them."""
