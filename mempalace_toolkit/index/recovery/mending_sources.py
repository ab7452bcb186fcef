"""Names for the large tables of a damaged database, whatever they are called in it."""

from __future__ import annotations

import sqlite3

from mempalace_toolkit.chroma.small_tables import (
    COLUMNS,
    OPTIONAL,
    DatabaseRows,
    quoted,
    selection,
)
from mempalace_toolkit.index.check.database.fulltext import TABLE as WORDS


def name_sources(connection: sqlite3.Connection, rows: DatabaseRows) -> None:
    """Give the large tables, whatever they are called now, the names that are used here.

    The views are in memory; the file stays as it is.
    """
    connection.execute("pragma query_only = 0")
    for view, table in (
        ("drawers", "embeddings"),
        ("metadata", "embedding_metadata"),
        ("queue", "embeddings_queue"),
    ):
        columns = (*COLUMNS[table], *OPTIONAL.get(table, ()))
        source = rows.sources.get(table)
        if source is None:
            chosen = ", ".join(f"null as {quoted(one)}" for one in columns)
            query = f"select {chosen} where 0"
        else:
            query = f"select {selection(connection, table, source)} from main.{quoted(source)}"  # noqa: S608
        _view(connection, view, _with_text_keys(query) if view == "metadata" else query)
    names = {str(name) for (name,) in connection.execute("select name from sqlite_master")}
    readable = f"{WORDS}_content" in names
    words = f"select id, c0 from main.{WORDS}_content"  # noqa: S608
    query = words if readable else "select 0 as id, '' as c0 where 0"
    _view(connection, "words", query)
    connection.execute("pragma query_only = 1")


def _with_text_keys(query: str) -> str:
    """The same rows, their keys as text where plain ones were stored as bytes."""
    columns = (*COLUMNS["embedding_metadata"], *OPTIONAL["embedding_metadata"])
    plain = "typeof(key) = 'blob' and cast(key as text) not glob '*[^ -~]*'"
    key = f"case when {plain} then cast(key as text) else key end as key"
    chosen = ", ".join(key if one == "key" else quoted(one) for one in columns)
    return f"select {chosen} from ({query})"  # noqa: S608


def _view(connection: sqlite3.Connection, name: str, query: str) -> None:
    connection.execute(f"drop view if exists temp.{name}")
    connection.execute(f"create temp view {name} as {query}")
