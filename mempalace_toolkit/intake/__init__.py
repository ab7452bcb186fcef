"""From sessions to pages: which are taken, what changed, and writing the pages."""
