"""The pi reader: session files in folders, one JSON value a line, every version up to 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mempalace_toolkit.sessions.pi.location import locate, searched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mempalace_toolkit.sessions.pi.store import PiStore

__all__ = ["locate", "open_store", "searched"]


def open_store(paths: Sequence[Path]) -> PiStore:
    """Open places of pi as one store, as `store.open_store` says.

    The reader is loaded here: where there is no store, nothing needs it.
    """
    from mempalace_toolkit.sessions.pi import store

    return store.open_store(paths)
