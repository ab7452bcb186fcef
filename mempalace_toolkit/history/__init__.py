"""One line for every real run, kept apart from what schedules them."""
