"""Finds each drawer's vector in the queue, the index and quarantined indexes."""
