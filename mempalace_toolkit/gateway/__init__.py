"""The gateway: one guarded process in front of a palace. So far the journal of its writes."""
