"""Sessions as pages: rendering them (pure) and keeping them in the spool (files)."""
