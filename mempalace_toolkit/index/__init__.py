"""Whether the vector index is sound, and making it sound again."""
