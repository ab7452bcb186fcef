"""The pi reader: session files in folders, one JSON value a line, every version up to 3."""

from mempalace_toolkit.sessions.pi.location import locate, searched
from mempalace_toolkit.sessions.pi.store import PiStore, open_store

__all__ = ["PiStore", "locate", "open_store", "searched"]
