"""What the journal's tests share: a clock, writes, and opening a journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from mempalace_toolkit.gateway.journal.file import Journal, open_journal
from mempalace_toolkit.gateway.journal.rows import Rows
from mempalace_toolkit.gateway.journal.salvage import FILE
from mempalace_toolkit.gateway.journal.values import AskedWrite, Limits, Receipt

NOON = datetime(2026, 3, 1, 12)


def asked(number: int, key: str | None = None, text: str = "said") -> AskedWrite:
    content = f"{number} {text}"
    return AskedWrite(
        "mempalace_add_drawer", {"wing": "shop", "room": "talk", "content": content}, key
    )


def put(rows: Rows, write: AskedWrite, second: int = 0) -> Receipt:
    with rows.writing():
        return rows.put(write, NOON + timedelta(seconds=second))


@contextmanager
def opened(folder: Path, limits: Limits | None = None) -> Iterator[Journal]:
    with open_journal(folder, "damaged", limits or Limits()) as journal:
        yield journal


def filled(folder: Path, count: int, text: str = "said") -> None:
    """A journal of so many rows, closed."""
    with opened(folder) as journal:
        for number in range(1, count + 1):
            put(journal.rows, asked(number, f"key {number}", text), number)


def contents(rows: Rows) -> list[str]:
    """The first words of what is queued: the numbers of the writes."""
    return [str((row.arguments or {})["content"]).split()[0] for row in rows.queued()]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.parent.iterdir()}


__all__ = ["FILE", "NOON", "asked", "contents", "filled", "names", "opened", "put"]
