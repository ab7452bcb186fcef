"""HNSW graphs built on all cores."""
