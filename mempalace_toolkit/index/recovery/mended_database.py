"""Fills a new database, which chromadb itself has made, with the rows of a damaged one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.chroma.database import open_database
from mempalace_toolkit.chroma.small_tables import DatabaseRows, read_rows
from mempalace_toolkit.chroma.tables import DOCUMENT
from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.files.private import write_undone
from mempalace_toolkit.index.check.database.drawers import WRONG_VALUE
from mempalace_toolkit.index.check.database.small_tables import SEGMENT_TYPES
from mempalace_toolkit.index.recovery.mending import mended_tables
from mempalace_toolkit.index.recovery.mending_drawers import mended_drawers
from mempalace_toolkit.index.recovery.mending_lost import give_rows_back
from mempalace_toolkit.index.recovery.mending_queue import mended_queue
from mempalace_toolkit.index.recovery.mending_rows import Drawers, Value
from mempalace_toolkit.index.recovery.mending_segments import Folders
from mempalace_toolkit.index.recovery.mending_sources import name_sources
from mempalace_toolkit.index.recovery.mending_tables import Tables
from mempalace_toolkit.index.recovery.plan import SLACK_BYTES, DatabasePlan, index_bytes
from mempalace_toolkit.index.recovery.rebuild import empty_database, index_words, sync_database
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.sqlite.failures import primary_code

_HINT = "nothing was changed; restore the palace from a backup"


@dataclass(frozen=True, slots=True)
class Mending:
    """All that the new database gets. `losses` are what is lost on the way, each a phrase."""

    rows: DatabaseRows
    tables: Tables
    drawers: Drawers
    queue: tuple[tuple[object, ...], ...]
    losses: tuple[str, ...]


def plan_mending(palace: PalaceLocation, reason: str, mends: tuple[str, ...]) -> DatabasePlan:
    """What a mended database holds, and what is lost. Reads only; raises as open_database does."""
    with open_database(palace) as opened:
        mending = _mending(palace.path, opened.connection)
    return DatabasePlan(
        damage=reason,
        drawers=mending.drawers.kept,
        lost=mending.drawers.lost,
        partial=mending.drawers.partial,
        uncertain=False,
        settings_lost=False,
        queue_lost=False,
        bytes_needed=2 * palace.database.stat().st_size + index_bytes(palace) + SLACK_BYTES,
        mends=mends,
        losses=mending.losses,
    )


def mend_database(
    palace: PalaceLocation, source: PalaceLocation, folder: Path, environment: Mapping[str, str]
) -> Path:
    """A whole database in `folder`, which is made, from the one of `source`; index folders are
    the palace's. Raises DamageLeftError, MempalaceError, WriteUndoneError."""
    database = empty_database(folder, source.database, environment)
    try:
        with (
            open_database(source) as opened,
            closing(sqlite3.connect(database, isolation_level=None)) as connection,
        ):
            mending = _mending(palace.path, opened.connection)
            _fill(connection, opened.connection, mending)
            said = connection.execute("pragma integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        if primary_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise write_undone(database, OSError(str(error))) from error
        raise DamageLeftError(f"{palace.database} cannot be mended: {error}", _HINT) from error
    if said != "ok":
        raise DamageLeftError(f"the mended database is not whole: {said}", _HINT)
    shutil.copymode(palace.database, database)
    sync_database(database)
    return database


def _mending(palace: Path, connection: sqlite3.Connection) -> Mending:
    connection.set_progress_handler(None, 0)
    rows = read_rows(connection)
    folders = Folders(palace)
    tables = mended_tables(palace, connection, rows, folders)
    name_sources(connection, rows)
    drawers = mended_drawers(connection, rows, tables)
    give_rows_back(connection, tables, drawers, folders)
    queue, lost = mended_queue(connection, tables)
    losses = (*tables.losses, *drawers.losses, *lost)
    return Mending(rows, tables, drawers, queue, losses)


def _fill(connection: sqlite3.Connection, old: sqlite3.Connection, mending: Mending) -> None:
    connection.execute("pragma synchronous = off")
    connection.execute("begin")
    _small_tables(connection, mending.tables)
    connection.executemany(
        "insert or ignore into embeddings (id, segment_id, embedding_id, seq_id, created_at)"
        " values (?, ?, ?, ?, coalesce(?, current_timestamp))",
        _drawers(old, mending.drawers),
    )
    connection.execute("create temp table kept as select id from embeddings")
    connection.execute("create unique index temp.kept_id on kept (id)")
    metadata = (
        "insert or ignore into embedding_metadata (id, key, string_value, int_value, float_value,"
        " bool_value) values (?, ?, ?, ?, ?, ?)"
    )
    connection.executemany(metadata, _metadata(old, mending.drawers))
    connection.executemany(metadata, _given(old, mending.drawers))
    connection.execute("delete from embedding_metadata where id not in (select id from temp.kept)")
    _arrays(connection, old)
    connection.execute("drop table temp.kept")
    connection.executemany(
        "insert into embeddings_queue (seq_id, created_at, operation, topic, id, vector, encoding,"
        " metadata) values (?, coalesce(?, current_timestamp), ?, ?, ?, ?, ?, ?)",
        mending.queue,
    )
    index_words(connection)
    connection.execute("commit")


def _small_tables(connection: sqlite3.Connection, tables: Tables) -> None:
    for table in ("segments", "collection_metadata", "collections", "databases", "tenants"):
        connection.execute(f"delete from {table}")  # noqa: S608 - our own names
    put = connection.executemany
    put("insert into tenants (id) values (?)", [(one,) for one in tables.tenants])
    put("insert into databases (id, name, tenant_id) values (?, ?, ?)", tables.databases)
    put(
        "insert into collections (id, name, dimension, database_id, config_json_str, schema_str)"
        " values (:id, :name, :dimension, :database_id, :config_json_str, :schema_str)",
        list(tables.collections.values()),
    )
    put("insert into collection_metadata values (?, ?, ?, ?, ?, ?)", tables.settings)
    put(
        "insert into segments (id, type, scope, collection) values (?, ?, ?, ?)",
        [
            (one, SEGMENT_TYPES[scope], scope, collection)
            for one, (collection, scope) in tables.segments.items()
        ],
    )
    put("insert into max_seq_id (segment_id, seq_id) values (?, ?)", tables.watermarks.items())
    for text in tables.queue_settings:
        connection.execute("delete from embeddings_queue_config")
        put("insert into embeddings_queue_config values (1, ?)", [(text,)])


def _drawers(old: sqlite3.Connection, drawers: Drawers) -> Iterator[tuple[object, ...]]:
    query = "select id, segment_id, embedding_id, seq_id, created_at from temp.drawers order by id"
    for row, segment, drawer, sequence, moment in old.execute(query):
        if segment in drawers.segments and row not in drawers.dropped:
            yield (
                row,
                drawers.segments[segment],
                drawers.ids.get(row, drawer),
                drawers.sequences.get(row, sequence),
                moment,
            )
    for row, (segment, drawer, sequence) in drawers.given_rows.items():
        yield row, segment, drawer, sequence, None


def _metadata(old: sqlite3.Connection, drawers: Drawers) -> Iterator[tuple[object, ...]]:
    columns = "id, key, string_value, int_value, float_value, bool_value"
    query = f"select {columns} from temp.metadata where not ({WRONG_VALUE}) order by id"  # noqa: S608
    for row in old.execute(query):
        if row[0] not in drawers.dropped and not (row[1] == DOCUMENT and row[0] in drawers.copied):
            yield row


def _given(old: sqlite3.Connection, drawers: Drawers) -> Iterator[tuple[object, ...]]:
    for row in sorted(drawers.copied - drawers.dropped):
        text = old.execute("select c0 from temp.words where id = ?", [row]).fetchone()[0]
        yield row, DOCUMENT, text, None, None, None
    for row, metadata in drawers.given.items():
        if row not in drawers.dropped:
            yield from ((row, key, *_columns(value)) for key, value in metadata.items())


def _columns(value: Value) -> tuple[object, ...]:
    if isinstance(value, bool):
        return None, None, None, int(value)
    return (*(value if type(value) is kind else None for kind in (str, int, float)), None)


def _arrays(connection: sqlite3.Connection, old: sqlite3.Connection) -> None:
    columns = "id, key, string_value, int_value, float_value, bool_value"
    names = {str(name) for (name,) in old.execute("select name from sqlite_master")}
    if "embedding_metadata_array" not in names:
        return
    there = {str(row[1]) for row in old.execute("pragma table_info(embedding_metadata_array)")}
    if set(columns.split(", ")) <= there:
        found = old.execute(f"select {columns} from main.embedding_metadata_array")  # noqa: S608
        insert = f"insert into embedding_metadata_array ({columns}) values (?, ?, ?, ?, ?, ?)"  # noqa: S608
        connection.executemany(insert, found)
        connection.execute(
            "delete from embedding_metadata_array where id not in (select id from temp.kept)"
        )
