"""The ledger's file: its tables, how it is opened, and writing to it all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mempalace_toolkit.errors import PalaceBusyError, ToolkitError, WriteUndoneError
from mempalace_toolkit.files.private import private_folder
from mempalace_toolkit.sqlite.failures import is_busy, is_corrupt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PATIENCE_SECONDS = 30.0
"""How long to wait for another run that is writing to the ledger."""

_VERSION = 3
_SCHEMA = """
create table sessions(
  agent text, id text, label text, wing text, title text, directory text, change_key text,
  turns int, digest text, updated int, settled int, copied int, copied_from text, skipped text,
  reader int, kept int, primary key(agent, id)) without rowid;
create table pages(
  path text primary key, agent text, session text, folder text, number int, digest text,
  mtime_ms int, generation int, retired int) without rowid;
create index pages_session on pages(agent, session);
create index pages_digest on pages(folder, digest);
create table mined(palace text, path text, mtime_ms int, sentinel int, rows int,
  primary key(palace, path)) without rowid;
create table totals(palace text primary key, pages int, rows int, mark int) without rowid;
create table stores(key text primary key, agent text, signature text) without rowid;
create table present(key text, agent text, session text, primary key(key, session))
  without rowid;
create index present_session on present(agent, session);
"""
_UPGRADES = {
    2: "alter table sessions add column reader int not null default 0;"
    "alter table sessions add column kept int not null default 0;"
}
"""What makes a ledger of an older version one of the next version."""


class LedgerFile:
    """The open file; a context manager. `open` for a run, `look` for a dry run."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, file: Path, aside: str) -> Self:
        """The ledger at `file`, made where there is none.

        One that SQLite cannot read, or of another version, is renamed to end in `aside`.
        """
        private_folder(file.parent)
        try:
            file.touch(mode=0o600)
            try:
                return cls(_connect(file))
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
                file.rename(file.with_name(f"{file.name}.{aside}"))
                file.touch(mode=0o600)
                return cls(_connect(file))
        except (OSError, sqlite3.Error) as error:
            raise _undone(error, file) from error

    @classmethod
    def look(cls, file: Path) -> Self:
        """A copy in memory of the ledger at `file`; an empty one where it is missing or broken.

        What is recorded in it is forgotten with it.
        """
        copy = sqlite3.connect(":memory:", isolation_level=None)
        with suppress(sqlite3.Error):
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as original:
                original.backup(copy)
            if _upgraded(copy) == _VERSION:
                return cls(copy)
        copy.close()
        empty = sqlite3.connect(":memory:", isolation_level=None)
        empty.executescript(_SCHEMA)
        return cls(empty)

    def _named(self, query: str, values: Sequence[object]) -> Iterator[sqlite3.Row]:
        """The query's rows, whose columns are known by name."""
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        yield from cursor.execute(query, values)

    def _replace(self, table: str, record: DataclassInstance) -> None:
        """Put a record in, in the place of an older one: its fields have the columns' names."""
        names = [field.name for field in fields(record)]
        self._db.execute(
            f"insert or replace into {table}({', '.join(names)})"
            f" values({', '.join(f':{name}' for name in names)})",
            {name: getattr(record, name) for name in names},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All or nothing: what is recorded in this block. Raises WriteUndoneError."""
        try:
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # on a full disk SQLite has rolled back by itself
                    self._db.execute("rollback")
                raise
            self._db.execute("commit")
        except sqlite3.Error as error:
            raise _undone(error, None) from error


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, timeout=PATIENCE_SECONDS)
    version = _upgraded(connection)
    if version == 0:
        connection.executescript(f"begin;{_SCHEMA}pragma user_version = {_VERSION};commit;")
    elif version != _VERSION:
        connection.close()
        raise _UnknownVersionError(f"ledger version {version}")
    return connection


def _upgraded(connection: sqlite3.Connection) -> int:
    """Bring an older ledger up to this version, all or nothing; the version that it has then."""
    version: int = connection.execute("pragma user_version").fetchone()[0]
    while version in _UPGRADES:
        after = version + 1
        connection.executescript(f"begin;{_UPGRADES[version]}pragma user_version = {after};commit;")
        version = after
    return version


class _UnknownVersionError(sqlite3.DatabaseError):
    """The ledger was written by another version of the toolkit."""


def _is_broken(error: sqlite3.Error) -> bool:
    """Whether the file itself is no ledger; one that is locked or unreachable is not broken."""
    return isinstance(error, _UnknownVersionError) or is_corrupt(error)


def _undone(error: Exception, file: Path | None) -> ToolkitError:
    if isinstance(error, sqlite3.Error) and is_busy(error):
        return PalaceBusyError("another run is writing to the ledger", "run again later")
    where = f" {file}" if file else ""
    return WriteUndoneError(
        f"the ledger{where} cannot be written: {error}",
        "free some space or correct the permissions, then run again: nothing was lost",
    )
