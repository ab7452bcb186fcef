"""The journal's file: one process has it, it is private, and a damaged one is set aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import PalaceBusyError, UnknownSchemaError, WriteUndoneError
from mempalace_toolkit.files.exchange import finish_exchanges, sync_path
from mempalace_toolkit.files.locking import try_lock
from mempalace_toolkit.files.private import private_folder, write_undone
from mempalace_toolkit.gateway.journal.rows import Rows
from mempalace_toolkit.gateway.journal.salvage import FILE, Salvaged, new_journal, salvage
from mempalace_toolkit.gateway.journal.stored import COLUMNS, PAGE_SIZE, VERSION
from mempalace_toolkit.gateway.journal.values import Limits
from mempalace_toolkit.sqlite.failures import primary_code
from mempalace_toolkit.sqlite.wal import is_cut_short

_PATIENCE_SECONDS = 5.0
_OF_THE_SYSTEM = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
}  # fmt: skip
"""Errors that say nothing of what the file holds."""
_OPEN_TO_OTHERS = 0o077
_FORMATS = {1, 2}  # rollback journal, write-ahead log
_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Journal:
    """The open journal. `salvaged` tells of a damaged one in the place of which this one is."""

    rows: Rows
    salvaged: Salvaged | None


@contextmanager
def open_journal(folder: Path, aside: str, limits: Limits = _LIMITS) -> Iterator[Journal]:
    """The journal in a folder of its own, made where there is none.

    One that is damaged is set aside, folder and all, with `.` and `aside` behind its name, and
    its readable rows are taken over. Raises PalaceBusyError where another process has it,
    UnknownSchemaError where a later version wrote it, WriteUndoneError.
    """
    private_folder(folder.parent)
    with _alone(folder):
        try:
            finish_exchanges(folder.parent)
            salvaged = _sound(folder, aside)
            connection = _connect(folder / FILE)
        except OSError as error:
            raise write_undone(folder, error) from error
        except sqlite3.Error as error:
            raise WriteUndoneError(
                f"the journal {folder / FILE} cannot be opened: {error}",
                "free some space or correct the permissions: nothing was lost",
            ) from error
        with closing(connection):
            yield Journal(Rows(connection, folder / FILE, limits), salvaged)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from the journal. The lock lies beside it: SQLite's own locks on a
    file end when the process closes any descriptor of that file."""
    lock = folder.with_name(f"{folder.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise write_undone(lock, error) from error
    try:
        if not try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise PalaceBusyError(
                f"another gateway (PID {holder}) has the journal {folder}",
                "use that one, or end it first",
                holder,
            )
        with suppress(OSError):  # a full disk: the lock holds without a name in it
            os.pwrite(descriptor, f"{os.getpid():<19}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _sound(folder: Path, aside: str) -> Salvaged | None:
    """Make sure of a sound journal in the folder. Raises OSError, sqlite3.Error."""
    file = folder / FILE
    log = file.with_name(f"{FILE}-wal")
    if not folder.exists() or not (file.exists() or log.exists()):
        new_journal(folder)
        return None
    _make_private(folder)
    damage = _damage(file, log)
    return salvage(folder, aside, damage) if damage else None


def _make_private(folder: Path) -> None:
    """Take from others what they may do: a copy from a backup may have lost its permissions."""
    for path in (folder, *folder.glob(f"{FILE}*")):
        mode = path.stat().st_mode
        if mode & _OPEN_TO_OTHERS:
            path.chmod(mode & 0o700)


def _damage(file: Path, log: Path) -> str | None:
    """What is wrong with the journal, in words; None where nothing is.

    The log is looked at first: SQLite takes a damaged place for its end, and then writes there.
    """
    if is_cut_short(log, PAGE_SIZE):
        return "its write-ahead log is damaged"
    if not file.exists() or not file.stat().st_size:
        return "its database is empty"
    with file.open("rb") as opened_file:
        if not set(opened_file.read(20)[18:]) <= _FORMATS:  # SQLite would only read it
            return "its head is damaged"
    try:
        # read-only: it leaves the log as it is, which may be needed for salvage
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            opened.text_factory = _text
            version = opened.execute("pragma user_version").fetchone()[0]
            if version > VERSION:
                raise UnknownSchemaError(
                    f"the journal {file} was written by a later version of the toolkit",
                    "install that version: the writes in it wait",
                )
            if version != VERSION:
                return "its database is none of a journal"
            opened.execute(f"select {COLUMNS} from writes limit 0")  # noqa: S608
            told: str = opened.execute("pragma integrity_check(1)").fetchone()[0]
            return None if told == "ok" else told
    except UnicodeDecodeError:  # Python fails on the name that SQLite's message quotes
        return "its schema is damaged"
    except sqlite3.Error as error:
        if primary_code(error) in _OF_THE_SYSTEM:
            raise
        return str(error)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        file, isolation_level=None, timeout=_PATIENCE_SECONDS, check_same_thread=False
    )
    connection.text_factory = _text
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma fullfsync = on")  # macOS: fsync alone stays in the drive
        connection.execute("pragma secure_delete = on")  # no talk and no old rows in free pages
        connection.execute("pragma cell_size_check = on")
    except BaseException:
        connection.close()
        raise
    sync_path(file.parent)
    return connection


def _text(content: bytes) -> str:
    """A text that is damaged as well: the row's digest tells, and the others are still read."""
    return content.decode("utf-8", "surrogateescape")
