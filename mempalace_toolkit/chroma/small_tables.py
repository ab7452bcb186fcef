"""The small tables of chromadb's database as they are, and counts of the large ones.

A table that is not there under its name is looked for under another one: a table or a view with
the same columns, which somebody renamed or made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from mempalace_toolkit.chroma.schema import TABLES

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "tenants": ("id",),
    "databases": ("id", "name", "tenant_id"),
    "collections": ("id", "name", "dimension", "database_id"),
    "collection_metadata": ("collection_id", "key", "str_value", "int_value", "float_value"),
    "segments": ("id", "type", "scope", "collection"),
    "max_seq_id": ("segment_id", "seq_id"),
    "embeddings": ("id", "segment_id", "embedding_id", "seq_id"),
    "embedding_metadata": ("id", "key", "string_value", "int_value", "float_value"),
    "embeddings_queue": ("seq_id", "operation", "topic", "id", "vector"),
    "embeddings_queue_config": ("id", "config_json_str"),
}
"""The columns by which a table is known, all of which are read."""

OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "collections": ("config_json_str", "schema_str"),
    "collection_metadata": ("bool_value",),
    "embeddings": ("created_at",),
    "embedding_metadata": ("bool_value",),
    "embeddings_queue": ("created_at", "encoding", "metadata"),
}
"""Those that are read where they are there; NULL otherwise."""

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DatabaseRows:
    """The rows of the small tables by column name. `sources` are the tables that were found, and
    the names under which; `drawers` are counted by segment."""

    sources: Mapping[str, str]
    tenants: tuple[Record, ...]
    databases: tuple[Record, ...]
    collections: tuple[Record, ...]
    settings: tuple[Record, ...]
    segments: tuple[Record, ...]
    watermarks: tuple[Record, ...]
    queue_settings: tuple[Record, ...]
    drawers: Mapping[object, int]


def read_rows(connection: sqlite3.Connection) -> DatabaseRows:
    """Read them. Raises sqlite3.Error."""
    sources = _sources(connection)
    drawers: dict[object, int] = {}
    if "embeddings" in sources:
        query = f"select segment_id, count(*) from {quoted(sources['embeddings'])} group by 1"  # noqa: S608
        drawers = dict(connection.execute(query))

    def read(table: str) -> tuple[Record, ...]:
        return tuple(_read(connection, sources, table))

    return DatabaseRows(
        sources=sources,
        tenants=read("tenants"),
        databases=read("databases"),
        collections=read("collections"),
        settings=read("collection_metadata"),
        segments=read("segments"),
        watermarks=read("max_seq_id"),
        queue_settings=read("embeddings_queue_config"),
        drawers=drawers,
    )


def quoted(name: str) -> str:
    """A name of a table or column as SQL takes it, whatever is in it."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def selection(connection: sqlite3.Connection, table: str, source: str) -> str:
    """The columns that are read of a table, as SQL; those it has not are NULL."""
    there = _columns(connection, source)
    wanted = (*COLUMNS[table], *OPTIONAL.get(table, ()))
    return ", ".join(quoted(one) if one in there else f"null as {quoted(one)}" for one in wanted)


def _sources(connection: sqlite3.Connection) -> dict[str, str]:
    names = [
        str(name)
        for (name,) in connection.execute(
            "select name from sqlite_master where type in ('table', 'view') order by type"
        )
    ]
    found: dict[str, str] = {}
    for table, columns in COLUMNS.items():
        others = [one for one in names if one not in TABLES and "fulltext" not in one]
        for name in ([table] if table in names else []) + others:
            try:
                if set(columns) <= _columns(connection, name):
                    connection.execute(f"select 1 from {quoted(name)} limit 1").fetchone()  # noqa: S608
                    if name == table or len(columns) > 1:
                        found[table] = name
                        break
            except sqlite3.DatabaseError:
                continue
    return found


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"pragma table_info({quoted(table)})")}


def _read(connection: sqlite3.Connection, sources: Mapping[str, str], table: str) -> list[Record]:
    if table not in sources:
        return []
    source = sources[table]
    columns = (*COLUMNS[table], *OPTIONAL.get(table, ()))
    query = f"select {selection(connection, table, source)} from {quoted(source)}"  # noqa: S608
    return [dict(zip(columns, row, strict=True)) for row in connection.execute(query)]
