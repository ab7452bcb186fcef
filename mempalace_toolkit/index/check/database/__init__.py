"""Whether chromadb can open the palace's database, read it, and file more in it."""
