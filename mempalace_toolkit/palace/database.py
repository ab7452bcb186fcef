"""Opens chromadb's SQLite database without writing a byte to it or beside it.

Where SQLite itself could not read without writing (a transaction that a killed writer left
open, a write-ahead log) a private copy is read, which SQLite may mend as it likes.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import MempalaceError, PalaceBusyError, ToolkitError
from mempalace_toolkit.palace.location import PalaceLocation

_BESIDE = ("-journal", "-wal")
_WAL_VERSION = 2
_BUSY_SECONDS = 5.0
# A row takes at least ten bytes and at most some tens of SQLite's steps. A database that needs
# more than this leads in circles.
_STEPS_PER_BYTE = 10
_STEPS_AT_LEAST = 20_000_000
_STEPS_A_LOOK = 1_000_000


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """A connection to read from; `hot_journal` where a killed writer's transaction lay open."""

    connection: sqlite3.Connection
    hot_journal: bool
    size: int


@contextmanager
def open_database(palace: PalaceLocation) -> Iterator[OpenDatabase]:
    """The database for the length of a `with` block.

    Raises MempalaceError where it cannot be read, PalaceBusyError where it is locked or
    changes while it is copied.
    """
    with tempfile.TemporaryDirectory(prefix="mempalace-toolkit-") as scratch:
        try:
            hot = _has_hot_journal(palace)
            copied = hot or _has_log(palace.database)
            file = _copy(palace, Path(scratch)) if copied else palace.database
            mode = "rwc" if copied else "ro"
            connection = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS
            )
        except OSError as error:
            raise unreadable(palace, error.strerror or str(error)) from error
        except sqlite3.Error as error:
            raise failed(palace, error) from error
        try:
            _limit(connection, file.stat().st_size)
            yield OpenDatabase(connection, hot, file.stat().st_size)
        except sqlite3.Error as error:
            raise failed(palace, error) from error
        finally:
            connection.close()


def _limit(connection: sqlite3.Connection, size: int) -> None:
    """Let no damaged database make SQLite run, or grow, without end."""
    steps = iter(range((_STEPS_AT_LEAST + _STEPS_PER_BYTE * size) // _STEPS_A_LOOK))
    connection.set_progress_handler(lambda: next(steps, None) is None, _STEPS_A_LOOK)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(size, 1 << 20))
    connection.execute("pragma query_only = 1")
    connection.execute("pragma trusted_schema = 0")


def _has_hot_journal(palace: PalaceLocation) -> bool:
    """Whether SQLite would have to roll back before it can read."""
    if not _beside(palace.database, "-journal").exists():
        return False
    address = f"{palace.database.absolute().as_uri()}?mode=ro"
    look = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)
    try:
        look.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        return code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    finally:
        look.close()
    return False


def _has_log(database: Path) -> bool:
    """Whether SQLite would open a -wal: also one that the header does not speak of."""
    if _beside(database, "-wal").exists():
        return True
    with database.open("rb") as file:
        return file.read(20)[18:20] == bytes([_WAL_VERSION, _WAL_VERSION])


def _copy(palace: PalaceLocation, scratch: Path) -> Path:
    """The database and what belongs to it, of one moment."""
    before = _state(palace.database)
    target = scratch / palace.database.name
    shutil.copyfile(palace.database, target)
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            shutil.copyfile(_beside(palace.database, suffix), _beside(target, suffix))
    if _state(palace.database) != before:
        raise busy(palace)
    return target


def _state(database: Path) -> list[tuple[int, int] | None]:
    state: list[tuple[int, int] | None] = []
    for file in (database, *(_beside(database, suffix) for suffix in _BESIDE)):
        try:
            status = file.stat()
            state.append((status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            state.append(None)
    return state


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


def busy(palace: PalaceLocation) -> PalaceBusyError:
    """The error for a palace whose database another process has just in hand."""
    return PalaceBusyError(
        f"another process is writing to the palace {palace.path}",
        "wait for it to end, then run again",
    )


def unreadable(palace: PalaceLocation, reason: str) -> MempalaceError:
    """The error for a database that does not give what it should hold."""
    return MempalaceError(
        f"the palace database {palace.database} cannot be read: {reason}",
        "restore the palace from a backup, or run `mempalace repair --yes`",
    )


def failed(palace: PalaceLocation, error: sqlite3.Error) -> ToolkitError:
    """The fitting one of both."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return busy(palace)
    return unreadable(palace, str(error))
