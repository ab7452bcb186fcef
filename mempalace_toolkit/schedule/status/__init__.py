"""Compares what the schedulers and the run history say with what should be."""
