"""chromadb's files as they are on the disk, read without chromadb."""
