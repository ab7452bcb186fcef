"""Reading the session stores of coding agents: find sessions, read their visible turns."""
