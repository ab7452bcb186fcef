"""Reads opencode's sessions of every era: JSON `storage/`, SQLite 1.2 to 1.18, and 2.x."""

from mempalace_toolkit.sessions.opencode.location import locate, searched
from mempalace_toolkit.sessions.opencode.store import OpencodeStore, open_store

__all__ = ["OpencodeStore", "locate", "open_store", "searched"]
