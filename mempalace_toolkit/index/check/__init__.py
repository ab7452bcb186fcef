"""Proves that the vector index is sound, or names each damage."""
