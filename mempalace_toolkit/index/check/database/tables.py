"""Proves that chromadb can open a palace's database, read it, and file more in it; reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mempalace_toolkit.chroma.schema import schema_problems
from mempalace_toolkit.chroma.small_tables import DatabaseRows, read_rows
from mempalace_toolkit.chroma.vector_width import vector_width
from mempalace_toolkit.index.check.database.drawers import DRAWER_CHECKS
from mempalace_toolkit.index.check.database.fulltext import fulltext_problem
from mempalace_toolkit.index.check.database.queue import check_queue_rows, segment_of
from mempalace_toolkit.index.check.database.small_tables import REQUIREMENTS
from mempalace_toolkit.index.evidence.findings import Finding


def check_tables(
    palace: Path, connection: sqlite3.Connection, whole: bool = False
) -> Iterator[Finding]:
    """What is wrong with the tables, `whole` in a large palace, too. Raises sqlite3.Error.

    Each look needs what the ones before it found in order.
    """
    found = [Finding(kind, message) for kind, message in schema_problems(connection)]
    rows = read_rows(connection)
    found += _doubles(connection, rows.sources.get("embeddings", ""), bool(found))
    yield from found
    if found:
        return
    found = [finding for check in REQUIREMENTS for finding in check(rows)]
    found += [] if found else list(_widths(palace, connection, rows))
    yield from found
    for look in DRAWER_CHECKS:
        yield from look(connection, rows, whole)
    words = fulltext_problem(connection, whole)
    if words:
        yield Finding("fulltext_damaged", f"the full-text index: {words}")
    if not found:
        yield from check_queue_rows(connection, rows)


def is_chromadb(connection: sqlite3.Connection) -> bool:
    """Whether there is enough of chromadb's tables to tell what is wrong with the others."""
    sources = read_rows(connection).sources
    return "embeddings" in sources and ("segments" in sources or "collections" in sources)


def _widths(palace: Path, connection: sqlite3.Connection, rows: DatabaseRows) -> Iterator[Finding]:
    """A collection's dimension is that of its vectors, where index and queue agree on one."""
    for row in rows.collections:
        segment = segment_of(rows, row, "VECTOR")
        width = vector_width(palace, connection, rows.sources, str(row["id"]), segment)
        if width is not None and row["dimension"] is not None and width != row["dimension"]:
            message = f"its dimension is {row['dimension']}, its vectors have {width}"
            yield Finding("dimension_wrong", message, str(row["name"]), segment)


def _doubles(connection: sqlite3.Connection, source: str, looked_for: bool) -> list[Finding]:
    """Ids that stand twice, which only a table that lost its unique index can have."""
    if not looked_for or source != "embeddings":
        return []
    query = "select count(*) - count(distinct segment_id || ' ' || embedding_id) from embeddings"
    count = int(connection.execute(query).fetchone()[0])
    if count <= 0:
        return []
    return [Finding("drawers_doubled", f"{count} drawers are twice in the table embeddings")]
