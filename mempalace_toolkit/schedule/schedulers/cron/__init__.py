"""Jobs as crontab entries."""
