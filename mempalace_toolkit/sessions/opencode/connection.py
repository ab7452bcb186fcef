"""Opens one SQLite file for reading only, and leaves no trace beside it.

`mode=ro` by itself creates missing -wal and -shm files and writes read marks into -shm.
`readonly_shm` does neither, and reads beside a running writer; it needs both files to be
there. A file in WAL mode without them has no writer: `immutable` reads it as it lies, and
every reading checks afterwards that nothing has been written meanwhile. A -wal left without
its -shm is read through a private copy, which is exact because nobody is writing.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from shlex import quote as quoted
from typing import TypeVar
from urllib.parse import quote

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.opencode.private_copy import FileState, file_state, private_copy
from mempalace_toolkit.sqlite.failures import is_busy, primary_code

Value = TypeVar("Value")

_MAGIC = b"SQLite format 3\0"
_WAIT_SECONDS = 0.5
_ATTEMPTS = 3


class DamagedPageError(StoreUnreadableError):
    """What was asked for lies in a damaged page; the rest of the file can be read."""


def beside(path: Path, suffix: str) -> Path:
    """The file that SQLite keeps beside a database: `-wal`, `-shm`, `-journal`."""
    return path.with_name(path.name + suffix)


class Snapshot:
    """One read transaction on one database file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guarded: FileState = None
        self._connection: sqlite3.Connection | None = None

    def run(self, query: Callable[[sqlite3.Connection], Value]) -> Value:
        """The query's value, taken from a consistent state of the file.

        A file that changed under an `immutable` reading is opened again, with its writer's
        -wal this time, and the query is repeated.
        """
        for _ in range(_ATTEMPTS):
            try:
                value = query(self._opened())
            except sqlite3.Error as error:
                if not self._was_disturbed():
                    self.close()
                    raise self._explained(error) from error
            else:
                if not self._was_disturbed():
                    return value
            self.close()
        raise _busy(self._path, "it is being written without a pause")

    def close(self) -> None:
        """End the transaction; a later `run` begins a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._guarded = None

    def _was_disturbed(self) -> bool:
        return self._guarded is not None and file_state(self._path) != self._guarded

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        before = file_state(self._path)
        in_wal_mode = _read_header(self._path)
        wal = (file_state(beside(self._path, "-wal")) or (0, 0, 0))[1]
        has_wal_file = beside(self._path, "-wal").exists()
        has_index = beside(self._path, "-shm").exists()
        journal = (file_state(beside(self._path, "-journal")) or (0, 0, 0))[1]
        if not (in_wal_mode or wal) or journal:
            return self._connect(self._path, "mode=ro")
        if has_wal_file and has_index:
            try:
                return self._connect(self._path, "mode=ro&readonly_shm=1")
            except sqlite3.OperationalError:
                if wal:
                    raise
        if not wal:
            self._guarded = before
            return self._connect(self._path, "immutable=1")
        with private_copy([self._path, beside(self._path, "-wal")]) as copy:
            return self._connect(copy or self._path, "mode=ro")

    def _connect(self, path: Path, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(bytes(path))}?{options}",
            uri=True,
            timeout=_WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.text_factory = bytes
            connection.execute("begin")
            connection.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _explained(self, error: sqlite3.Error) -> StoreUnreadableError:
        if is_busy(error):
            return _busy(self._path, "opencode holds it")
        if (file_state(beside(self._path, "-journal")) or (0, 0, 0))[1]:
            return StoreUnreadableError(
                f"{self._path}: a write was interrupted ({error})",
                "start opencode once, which undoes that write, then run this again",
            )
        if primary_code(error) in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_READONLY,
        ):
            return StoreUnreadableError(
                f"{self._path}: cannot be opened ({error})",
                "give this user read access to the database, its -wal and its -shm file",
            )
        return DamagedPageError(
            f"{self._path}: a page of it is damaged, and what lies there cannot be read ({error})",
            _remedy(self._path),
        )


def unlisted(path: Path) -> StoreUnreadableError:
    """The error for a database of which not even the list of sessions can be read."""
    return StoreUnreadableError(
        f"{path}: pages that list the sessions are damaged; those that can be found are read",
        _remedy(path),
    )


def _remedy(path: Path) -> str:
    """A way that works with the sqlite3 of Debian 12, too, whose .recover does not."""
    mended = quoted(str(path.with_name(f"mended-{path.name}")))
    return (
        "restore the file from a backup, or save what can be read: "
        f"sqlite3 {quoted(str(path))} .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 {mended}; "
        f"then run this with --store {mended}"
    )


def _read_header(path: Path) -> bool:
    """Whether the file is in WAL mode; an empty file is a database without tables."""
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would wait for ever
            raise StoreUnreadableError(
                f"{path}: not a file but a pipe, a socket or a device",
                "give --store an opencode database, a storage/ folder, or the folder with both",
            )
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise StoreUnreadableError(
            f"{path}: cannot be read ({error.strerror})",
            "give this user read access, or name another store with --store",
        ) from error
    if header and not header.startswith(_MAGIC):
        raise StoreUnreadableError(
            f"{path}: not an SQLite database",
            "an opencode database is expected here: restore the file, or name another store "
            "with --store",
        )
    return len(header) == 20 and 2 in header[18:20]


def _busy(path: Path, reason: str) -> StoreUnreadableError:
    error = StoreUnreadableError(f"{path}: busy, {reason}", "run this again in a moment")
    error.retryable = True
    return error
