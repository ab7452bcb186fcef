"""SQLite's file format, without any knowledge of what chromadb keeps in it."""
