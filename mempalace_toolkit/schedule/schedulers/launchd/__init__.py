"""Jobs as launchd agents."""
