"""Reads opencode's sessions of every era: JSON `storage/`, SQLite 1.2 to 1.18, and 2.x."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mempalace_toolkit.sessions.opencode.location import locate, searched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mempalace_toolkit.sessions.model import StoreFinding
    from mempalace_toolkit.sessions.opencode.store import OpencodeStore

__all__ = ["left_copies", "locate", "open_store", "searched"]


def left_copies(data_home: Path) -> list[StoreFinding]:
    """A finding for each copy of a store where opencode keeps its own; for where there is none."""
    from mempalace_toolkit.sessions.opencode.copies import copies_in

    return copies_in(data_home / "opencode", ())


def open_store(paths: Sequence[Path]) -> OpencodeStore:
    """Open places of opencode as one store, as `store.open_store` says.

    The reader is loaded here: where there is no store, nothing needs it.
    """
    from mempalace_toolkit.sessions.opencode import store

    return store.open_store(paths)
