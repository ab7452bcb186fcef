"""What one database or storage folder offers to the store that unites them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from mempalace_toolkit.sessions.model import Mark, SessionRef, StoreFinding, Turn


@dataclass(frozen=True, slots=True)
class Entry:
    """A session as its source lists it.

    `first` is the time of its first message, which a fork shares with its original.
    `forked_from` is the original where the source names it (2.x). `revert` is the raw mark.
    """

    ref: SessionRef
    first: int | None
    forked_from: str | None
    revert: object


@dataclass(frozen=True, slots=True)
class Reading:
    """A session's visible turns, what was wrong with its rows, and what is marked as not said."""

    turns: list[Turn]
    findings: tuple[StoreFinding, ...]
    withdrawn: Mapping[Mark, str] = field(default_factory=dict)


class Readable(Protocol):
    """What a listed session is read from. Raises StoreUnreadableError."""

    def read(self, entry: Entry) -> Reading:
        """One session's visible turns."""


class Source(Readable, Protocol):
    """One opened database or storage folder. Every method raises StoreUnreadableError."""

    @property
    def path(self) -> Path:
        """The database file or the storage folder."""

    @property
    def findings(self) -> tuple[StoreFinding, ...]:
        """What the last listing found wrong with the source as a whole."""

    def entries(self) -> list[Entry]:
        """Every session of this source."""

    def session_ids(self) -> frozenset[str]:
        """The ids alone, faster than `entries`."""

    def stamp(self) -> str:
        """Stat values that differ whenever the source may have changed."""

    def close(self) -> None:
        """Release files."""


def key_of(*values: object) -> str:
    """A short digest of values that have a stable `repr`."""
    return blake2b(repr(values).encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()
