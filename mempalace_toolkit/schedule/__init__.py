"""Runs the jobs unattended: one schedule language, three schedulers, and what became of it."""
