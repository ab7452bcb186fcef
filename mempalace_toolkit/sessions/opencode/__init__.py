"""Reads opencode's sessions of every era: JSON `storage/`, SQLite 1.2 to 1.18, and 2.x."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mempalace_toolkit.sessions.opencode.location import locate, searched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mempalace_toolkit.sessions.opencode.store import OpencodeStore

__all__ = ["locate", "open_store", "searched"]


def open_store(paths: Sequence[Path]) -> OpencodeStore:
    """Open places of opencode as one store, as `store.open_store` says.

    The reader is loaded here: where there is no store, nothing needs it.
    """
    from mempalace_toolkit.sessions.opencode import store

    return store.open_store(paths)
