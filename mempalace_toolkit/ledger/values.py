"""What the ledger records of a session and of a page."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A session as it was last taken.

    `digest` names its first `turns` turns. `settled` is False while its last activity was so
    recent, when it was read, that it may have changed without its change key. `skipped` is
    the reason for which it has no pages, empty where it has. `reader` is the version of the
    rules by which it was read. `kept` counts the turns that its pages hold and its store has
    no more.
    """

    agent: str
    id: str
    label: str
    wing: str
    title: str
    directory: str
    change_key: str
    turns: int
    digest: str
    updated: int
    settled: bool
    copied: int
    copied_from: str | None
    skipped: str
    reader: int
    kept: int


@dataclass(frozen=True, slots=True)
class RecordedPage:
    """A page in the spool; `path` is relative to it, `folder` is its label and wing."""

    path: str
    agent: str
    session: str
    folder: str
    number: int
    digest: str
    mtime_ms: int
    generation: int = 0
    retired: bool = False


def session_of_row(row: sqlite3.Row) -> RecordedSession:
    """A row of `sessions`, whose columns have the fields' names."""
    values = dict(row)
    return RecordedSession(**{**values, "settled": bool(values["settled"])})


def page_of_row(row: sqlite3.Row) -> RecordedPage:
    """A row of `pages`, whose columns have the fields' names."""
    values = dict(row)
    return RecordedPage(**{**values, "retired": bool(values["retired"])})
