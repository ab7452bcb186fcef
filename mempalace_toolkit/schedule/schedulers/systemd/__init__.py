"""Jobs as systemd user timers."""
