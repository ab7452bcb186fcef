"""Dimensions and watermarks of a mended database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from mempalace_toolkit.chroma.sequences import sequence_number
from mempalace_toolkit.chroma.small_tables import DatabaseRows, quoted
from mempalace_toolkit.chroma.vector_width import vector_width
from mempalace_toolkit.index.check.database.small_tables import (
    MEMPALACE,
    is_mark,
)
from mempalace_toolkit.index.recovery.mending_tables import Tables
from mempalace_toolkit.palace.segment_names import SEGMENT_NAME


def take_dimensions(
    palace: Path, connection: sqlite3.Connection, rows: DatabaseRows, tables: Tables
) -> None:
    for identity, row in tables.collections.items():
        width = vector_width(
            palace, connection, rows.sources, identity, tables.segment(identity, "VECTOR")
        )
        dimension = row["dimension"]
        valid = type(dimension) is int and 0 < dimension < 1 << 16
        row["dimension"] = width or (dimension if valid else None)
        drawers = rows.drawers.get(tables.segment(identity, "METADATA"), 0)
        if row["dimension"] is None and drawers:
            row["dimension"] = 384 if str(row["name"]).startswith(MEMPALACE) else None


def take_watermarks(
    palace: Path,
    connection: sqlite3.Connection,
    rows: DatabaseRows,
    tables: Tables,
    queued: dict[str, dict[str, int]],
) -> None:
    """A lost one is taken as low as it can have been: what lies above it is replayed.

    The queue keeps a collection's operations from its lower watermark on.
    """
    told = {
        str(row["segment_id"]): sequence_number(row["seq_id"]) or 0
        for row in rows.watermarks
        if is_mark(row["seq_id"])
    }
    for collection in tables.collections:
        metadata = tables.segment(collection, "METADATA")
        vector = tables.segment(collection, "VECTOR")
        sources = [metadata, *(old for old, new in tables.moved.items() if new == metadata)]
        numbers = list(_latest(connection, rows, sources))
        latest = max(numbers, default=0)
        mark = next((told[str(one)] for one in sources if str(one) in told), None)
        flushed = (palace / vector / "index_metadata.pickle").exists()
        if vector in told:
            tables.watermarks[vector] = told[vector]
        elif flushed and SEGMENT_NAME.fullmatch(vector):
            held = queued.get(collection, {}).values()
            tables.watermarks[vector] = min(held, default=mark or latest)
        if mark is None and (latest or vector in tables.watermarks):
            mark = max(latest, tables.watermarks.get(vector, 0))
        if mark is not None:
            lowest = min(queued.get(collection, {}).values(), default=latest + 1)
            taken = (number for number in numbers if number < lowest)  # no queue has them any more
            tables.watermarks[metadata] = max(mark, *taken, 0)


def _latest(
    connection: sqlite3.Connection, rows: DatabaseRows, segments: Sequence[object]
) -> Iterator[int]:
    source = rows.sources.get("embeddings")
    for segment in segments if source else ():
        query = (
            f"select seq_id from {quoted(str(source))} where segment_id is ?"  # noqa: S608
            " and typeof(seq_id) in ('integer', 'blob')"
        )
        for (value,) in connection.execute(query, [segment]):
            if is_mark(value):
                yield sequence_number(value) or 0
