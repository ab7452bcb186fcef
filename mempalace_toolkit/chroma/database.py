"""Opens chromadb's SQLite database without writing a byte to it or beside it.

Where SQLite itself could not read without writing (a transaction that a killed writer left
open, a write-ahead log) a private copy is read, which SQLite may mend as it likes.

All reads inside `one_transaction` see the database as it was at the first of them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from mempalace_toolkit.errors import (
    DAMAGED_REMEDY,
    MempalaceError,
    PalaceBusyError,
    PalaceDamagedError,
    PalaceMovedError,
    ToolkitError,
)
from mempalace_toolkit.files.private import is_full, write_undone
from mempalace_toolkit.files.scratch import scratch_folder
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.sqlite.failures import is_busy, primary_code

_BESIDE = ("-journal", "-wal")
_WAL_VERSION = 2
_BUSY_SECONDS = 5.0
_COMMIT_SECONDS = 0.05
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


@dataclass(slots=True)
class _Shared:
    """The one opening of a palace's database in a `one_transaction` block, once there is one."""

    palace: Path
    opened: OpenDatabase | None = None
    closing: ExitStack = field(default_factory=ExitStack)


_shared: ContextVar[_Shared | None] = ContextVar("shared", default=None)


@contextmanager
def one_transaction(palace: PalaceLocation) -> Iterator[None]:
    """Have all that is read from this palace's database in the block be of one moment.

    The transaction begins with the first `open_database`. A writer waits until the block ends.
    """
    shared = _Shared(palace.path)
    token = _shared.set(shared)
    try:
        with shared.closing:
            yield
    finally:
        _shared.reset(token)


@contextmanager
def open_database(palace: PalaceLocation) -> Iterator[OpenDatabase]:
    """The database for the length of a `with` block, in one read transaction.

    Raises MempalaceError where it cannot be read, PalaceBusyError where it is locked,
    PalaceMovedError where it changes while it is opened, WriteUndoneError where a copy is
    needed and the disk is full.
    """
    with ExitStack() as closing:
        shared = _shared.get()
        if shared is None or shared.palace != palace.path:
            opened = _open(palace, closing)
        else:
            shared.opened = shared.opened or _open(palace, shared.closing)
            opened = shared.opened
        try:
            _limit(opened.connection, opened.size)
            yield opened
        except sqlite3.Error as error:
            raise failed(palace, error) from error


def _open(palace: PalaceLocation, closing: ExitStack) -> OpenDatabase:
    with ExitStack() as begun:
        try:
            hot = _has_hot_journal(palace)
            copied = hot or _has_log(palace.database)
            file = _copy(palace, begun) if copied else palace.database
            size = file.stat().st_size
            address = f"{file.absolute().as_uri()}?mode={'rwc' if copied else 'ro'}"
            connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)
            begun.callback(connection.close)
            _limit(connection, size)
            connection.execute("begin")
            connection.execute("select count(*) from sqlite_master").fetchone()
        except OSError as error:
            raise unreadable(palace, error.strerror or str(error)) from error
        except sqlite3.Error as error:
            if not copied and _wants_to_write(error) and os.access(file, os.R_OK):
                raise moved(palace) from error  # a writer's commit came in between
            raise failed(palace, error) from error
        closing.push(begun.pop_all())
    return OpenDatabase(connection, hot, size)


def _limit(connection: sqlite3.Connection, size: int) -> None:
    """Let no damaged database make SQLite run, or grow, without end."""
    steps = iter(range((_STEPS_AT_LEAST + _STEPS_PER_BYTE * size) // _STEPS_A_LOOK))
    connection.set_progress_handler(lambda: next(steps, None) is None, _STEPS_A_LOOK)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(size, 1 << 20))
    connection.execute("pragma query_only = 1")
    connection.execute("pragma trusted_schema = 0")


def _has_hot_journal(palace: PalaceLocation) -> bool:
    """Whether SQLite would have to roll back before it can read.

    Beside a live writer SQLite takes a journal for one that is left, if that is just being
    removed: so it is looked at twice. Raises PalaceMovedError where the second look differs.
    """
    journal = _beside(palace.database, "-journal")
    before = _file_state(journal)
    if before is None or not _is_refused(palace):
        return False
    time.sleep(_COMMIT_SECONDS)
    if _file_state(journal) != before or not _is_refused(palace):
        raise moved(palace)
    return True


def _is_refused(palace: PalaceLocation) -> bool:
    """Whether SQLite refuses to read because it would have to write."""
    address = f"{palace.database.absolute().as_uri()}?mode=ro"
    look = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)
    try:
        look.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.Error as error:
        return _wants_to_write(error)
    finally:
        look.close()
    return False


def _wants_to_write(error: sqlite3.Error) -> bool:
    return primary_code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _has_log(database: Path) -> bool:
    """Whether SQLite would open a -wal: also one that the header does not speak of."""
    if _beside(database, "-wal").exists():
        return True
    with database.open("rb") as file:
        return file.read(20)[18:20] == bytes([_WAL_VERSION, _WAL_VERSION])


def _copy(palace: PalaceLocation, closing: ExitStack) -> Path:
    """The database and what belongs to it, of one moment, in a folder of its own."""
    before = _state(palace.database)
    try:
        scratch = closing.enter_context(scratch_folder())
    except OSError as error:
        raise write_undone(Path("the folder for temporary files"), error) from error
    target = scratch / palace.database.name
    try:
        shutil.copyfile(palace.database, target)
        for suffix in _BESIDE:
            with suppress(FileNotFoundError):
                shutil.copyfile(_beside(palace.database, suffix), _beside(target, suffix))
    except OSError as error:
        if is_full(error):
            raise write_undone(scratch, error) from error
        raise
    if _state(palace.database) != before:
        raise moved(palace)
    return target


def _state(database: Path) -> list[tuple[int, int] | None]:
    return [_file_state(_beside(database, suffix)) for suffix in ("", *_BESIDE)]


def _file_state(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


def busy(palace: PalaceLocation) -> PalaceBusyError:
    """The error for a palace whose database another process has just in hand."""
    return PalaceBusyError(
        f"another process is writing to the palace {palace.path}",
        "wait for it to end, then run again",
    )


def moved(palace: PalaceLocation) -> PalaceMovedError:
    """The error for a palace whose files are written while they are read."""
    return PalaceMovedError(
        f"another process is writing to the palace {palace.path} all the time",
        "end it, or wait for it to end, then run again",
    )


def unreadable(palace: PalaceLocation, reason: str, done: str = "read") -> MempalaceError:
    """The error for a database that does not give what it should hold."""
    return PalaceDamagedError(
        f"the palace database {palace.database} cannot be {done}: {reason}", DAMAGED_REMEDY
    )


def failed(palace: PalaceLocation, error: sqlite3.Error, done: str = "read") -> ToolkitError:
    """The error for what SQLite says of the palace's database, which was to be read."""
    if is_busy(error):
        return busy(palace)
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_ROLLBACK:
        return MempalaceError(
            f"a killed writer left a transaction open in {palace.database}",
            "a run rolls it back before it does anything else",
        )
    return unreadable(palace, str(error), done)
