"""The palace on disk: where it is, who holds it, what it contains, whether it is sound."""
