"""What a command needs to know: the environment, options, signals, the history."""
