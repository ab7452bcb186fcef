"""Fills a new chromadb database with what a damaged one still gives."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from mempalace_toolkit.chroma.tables import COPIED, DOCUMENT, Row
from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.files.exchange import sync_path
from mempalace_toolkit.files.private import write_undone
from mempalace_toolkit.index.recovery.tables import Recovery
from mempalace_toolkit.index.recovery.transfer import Account, transfer
from mempalace_toolkit.index.workers.run import ChildTask, run_child
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.sqlite.failures import primary_code
from mempalace_toolkit.sqlite.pages import PageFile
from mempalace_toolkit.sqlite.values import PageError

_SECONDS = 300.0
_HINT = "nothing was changed; restore the palace from a backup"


def recover_database(palace: PalaceLocation, folder: Path, environment: Mapping[str, str]) -> Path:
    """A whole database in `folder`, which is made: chromadb's tables, our rows, words indexed.

    Raises DamageLeftError where what comes out is not whole, MempalaceError where the child
    failed, WriteUndoneError on a full disk.
    """
    database = empty_database(folder, palace.database, environment)
    file = PageFile(palace.database)
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            _fill(connection, Recovery(file))
            said = connection.execute("pragma integrity_check(1)").fetchone()[0]
    except PageError as error:
        raise DamageLeftError(f"{palace.database}: {error}", _HINT) from error
    except sqlite3.Error as error:
        if primary_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise write_undone(database, OSError(str(error))) from error
        raise DamageLeftError(f"{palace.database} cannot be recovered: {error}", _HINT) from error
    finally:
        file.close()
    if said != "ok":
        raise DamageLeftError(f"the recovered database is not whole: {said}", _HINT)
    shutil.copymode(palace.database, database)
    sync_database(database)
    return database


def empty_database(folder: Path, old: Path, environment: Mapping[str, str]) -> Path:
    """chromadb's own tables in a new database in `folder`, which is made. Raises MempalaceError."""
    folder.mkdir()
    largest = 4 * old.stat().st_size + (1 << 30)
    task = {"folder": str(folder)}
    run_child(ChildTask("child_schema", task, environment, _SECONDS, largest))
    return folder / old.name


def _fill(connection: sqlite3.Connection, recovery: Recovery) -> Account:
    connection.execute("pragma synchronous = off")
    connection.execute("begin")
    inserts: dict[str, tuple[str, int]] = {}
    for table in COPIED:
        columns = [row[1] for row in connection.execute(f"pragma table_info({table})")]
        connection.execute(f"delete from {table}")  # noqa: S608 - our own names
        marks = ", ".join("?" * (len(columns) + 1))
        inserts[table] = (
            f"insert into {table} (rowid, {', '.join(columns)}) values ({marks})",  # noqa: S608
            len(columns),
        )

    def put(table: str, rowid: int | None, row: Row) -> None:
        query, width = inserts[table]
        values = (row + [None] * width)[:width]
        if values[0] is None and table in ("embeddings", "embeddings_queue"):
            values[0] = rowid
        connection.execute(query, [rowid, *values])

    account = transfer(recovery, put)
    gone = [(rowid,) for rowid in account.dropped]
    connection.executemany("delete from embeddings where id = ?", gone)
    for table in ("embedding_metadata", "embedding_metadata_array"):
        connection.execute(f"delete from {table} where id not in (select id from embeddings)")  # noqa: S608
    index_words(connection)
    connection.execute("commit")
    return account


def index_words(connection: sqlite3.Connection) -> None:
    """Fill the empty index of words with the texts."""
    connection.execute(
        "insert into embedding_fulltext_search (rowid, string_value)"
        " select id, string_value from embedding_metadata where key = ? order by id",
        [DOCUMENT],
    )


def sync_database(database: Path) -> None:
    """Have the file and its name on the disk. Raises OSError."""
    sync_path(database)
    sync_path(database.parent)
