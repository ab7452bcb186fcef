"""What chromadb's SQLite database says about the index: collections, ids, queue, watermarks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.database import open_database, unreadable
from mempalace_toolkit.chroma.sequences import highest_sequence, sequence_number
from mempalace_toolkit.chroma.settings import IndexSettings, read_settings
from mempalace_toolkit.palace.location import PalaceLocation

_ROWS = 10_000
# What is read, by table. A database without these was written by a chromadb not known here.
_COLUMNS = {
    "collections": ("id", "name", "dimension"),
    "collection_metadata": ("collection_id", "key", "str_value", "int_value"),
    "segments": ("id", "type", "scope", "collection"),
    "embeddings": ("id", "segment_id", "embedding_id", "seq_id"),
    "embeddings_queue": ("seq_id", "operation", "topic", "id", "vector"),
    "max_seq_id": ("segment_id", "seq_id"),
}


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """An entry of `embeddings_queue`; `operation` is an Operation, or whatever else stands there.

    `vector` is raw little-endian f32, None for deletes and metadata-only updates.
    """

    sequence: int
    operation: int
    id: str
    vector: bytes | None


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection with its two segments.

    `ids` are the drawers' ids in the order of `row_ids` (ascending), with `sequences` beside.
    `vector_watermark` is None until the first flush. `queue` holds the operations above the
    lowest watermark, and the one equal to it, in order of sequence.
    """

    id: str
    name: str
    dimension: int | None
    settings: IndexSettings
    vector_segment: str
    metadata_segment: str
    vector_watermark: int | None
    metadata_watermark: int | None
    ids: tuple[str, ...]
    row_ids: NDArray[np.int64]
    sequences: NDArray[np.int64]
    queue: tuple[QueueEntry, ...]
    tenant: str = "default_tenant"
    database: str = "default_database"

    @property
    def space(self) -> str:
        """How vectors are compared: cosine, l2 or ip."""
        return self.settings.space


@dataclass(frozen=True, slots=True)
class PalaceRecords:
    """The database as a whole.

    `unknown` says what is not as a chromadb known here writes it, and is empty otherwise; then
    there are no collections. `hot_journal`: a killed writer's transaction lies open.
    """

    collections: tuple[CollectionRecord, ...]
    highest_queued: int
    unknown: str = ""
    hot_journal: bool = False


def read_records(palace: PalaceLocation) -> PalaceRecords:
    """Read the database without writing to it or beside it.

    Raises MempalaceError on a database that cannot be read, PalaceBusyError on a locked one.
    """
    with open_database(palace) as opened:
        try:
            connection = opened.connection
            unknown = _unknown_schema(connection)
            if unknown:
                return PalaceRecords((), 0, unknown, opened.hot_journal)
            highest = highest_sequence(connection, "embeddings_queue")
            collections = tuple(_collections(connection, opened.size))
        except (ValueError, TypeError, OverflowError) as error:
            raise unreadable(palace, f"a value of the wrong kind ({error})") from error
        return PalaceRecords(collections, highest, "", opened.hot_journal)


def read_documents(palace: PalaceLocation, row_ids: Iterable[int]) -> dict[int, str]:
    """The texts of the drawers with these row ids. Raises as read_records does."""
    query = "select string_value from embedding_metadata where id = ? and key = 'chroma:document'"
    with open_database(palace) as opened:
        found = {row: _one(opened.connection, query, row) for row in row_ids}
    return {row: text for row, text in found.items() if isinstance(text, str)}


def quick_check(palace: PalaceLocation, whole: bool = False) -> str:
    """SQLite's own look at every page, and if `whole` at every entry of every index.

    What it finds wrong, or nothing. Raises as above.
    """
    pragma = "pragma integrity_check(1)" if whole else "pragma quick_check(1)"
    with open_database(palace) as opened:
        opened.connection.set_progress_handler(None, 0)  # until it is opened again
        said = str(_one(opened.connection, pragma))
    return "" if said == "ok" else " ".join(said.replace("***", "").split())


def _unknown_schema(connection: sqlite3.Connection) -> str:
    tables = {
        name for (name,) in connection.execute("select name from sqlite_master where type='table'")
    }
    for table, wanted in _COLUMNS.items():
        if table not in tables:
            return f"it has no table {table}"
        columns = {row[1] for row in connection.execute(f"pragma table_info({table})")}
        lacking = [column for column in wanted if column not in columns]
        if lacking:
            return f"table {table} has no column {lacking[0]}"
    return ""


def _collections(connection: sqlite3.Connection, size: int) -> Iterator[CollectionRecord]:
    query = "select id, name, dimension from collections order by name, id"
    for identity, name, dimension in connection.execute(query):
        segments = dict(
            connection.execute("select scope, id from segments where collection = ?", [identity])
        )
        vector, metadata = str(segments.get("VECTOR", "")), str(segments.get("METADATA", ""))
        ids, row_ids, sequences = _rows(connection, metadata)
        tenant, database = _place(connection, identity)
        yield CollectionRecord(
            id=str(identity),
            name=str(name),
            dimension=sequence_number(dimension),
            settings=read_settings(connection, identity),
            vector_segment=vector,
            metadata_segment=metadata,
            vector_watermark=_watermark(connection, vector),
            metadata_watermark=_watermark(connection, metadata),
            ids=ids,
            row_ids=row_ids,
            sequences=sequences,
            queue=_queue(connection, str(identity), size),
            tenant=tenant,
            database=database,
        )


def _place(connection: sqlite3.Connection, collection: str) -> tuple[str, str]:
    """The tenant and the database that a client must name to see the collection."""
    tables = {name for (name,) in connection.execute("select name from sqlite_master")}
    columns = {row[1] for row in connection.execute("pragma table_info(collections)")}
    found = None
    if "databases" in tables and "database_id" in columns:
        query = (
            "select d.tenant_id, d.name from databases d"
            " join collections c on c.database_id = d.id where c.id = ?"
        )
        found = connection.execute(query, [collection]).fetchone()
    return (str(found[0]), str(found[1])) if found else ("default_tenant", "default_database")


def _rows(
    connection: sqlite3.Connection, segment: str
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Ids, row ids and sequences, in the order of the row ids; a block of rows at a time, as
    a row takes several times what is kept of it."""
    cursor = connection.execute(
        "select id, embedding_id, seq_id from embeddings where segment_id = ? order by id",
        [segment],
    )
    ids: list[str] = []
    row_ids, sequences = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    while rows := cursor.fetchmany(_ROWS):
        numbers, names, operations = zip(*rows, strict=True)
        if {*map(type, names)} != {str}:
            raise TypeError("an id that is not text")
        if {*map(type, operations)} != {int}:
            operations = tuple(sequence_number(one) or 0 for one in operations)
        ids += names
        row_ids.append(np.array(numbers, np.int64))
        sequences.append(np.array(operations, np.int64))
    return tuple(ids), np.concatenate(row_ids), np.concatenate(sequences)


def _queue(connection: sqlite3.Connection, collection: str, size: int) -> tuple[QueueEntry, ...]:
    """The collection's operations; its topic ends with its id, whatever tenant it is of."""
    entries = []
    held = 0
    query = (
        "select seq_id, operation, id, vector from embeddings_queue"
        " where topic like '%/' || ? order by seq_id"
    )
    for sequence, operation, identity, vector in connection.execute(query, [collection]):
        if not isinstance(identity, str) or not isinstance(vector, bytes | None):
            raise TypeError("a queue entry of the wrong type")
        held += len(vector or b"")
        if held > size:
            raise ValueError("the queue claims more than the file holds")
        entries.append(QueueEntry(int(sequence), int(operation), identity, vector))
    return tuple(entries)


def _watermark(connection: sqlite3.Connection, segment: str) -> int | None:
    query = "select seq_id from max_seq_id where segment_id = ?"
    return sequence_number(_one(connection, query, segment))


def _one(connection: sqlite3.Connection, query: str, *values: object) -> object:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None
