"""Child processes that load chromadb or the embedding model."""
