"""What a mended database holds: the rows of the damaged one, and what chromadb needs beside them.

Reads only. What the tables have lost is taken from what still tells it: the index's folders, the
queue, the other tables. What nothing tells is counted as a loss, which a person must accept.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from mempalace_toolkit.chroma.small_tables import DatabaseRows, Record, quoted
from mempalace_toolkit.index.check.database.small_tables import (
    is_queue_setting,
)
from mempalace_toolkit.index.recovery.mending_collections import (
    take_collections,
    take_databases,
)
from mempalace_toolkit.index.recovery.mending_segments import (
    Folders,
    take_metadata_segments,
    take_vector_segments,
)
from mempalace_toolkit.index.recovery.mending_tables import Tables
from mempalace_toolkit.index.recovery.mending_watermarks import take_dimensions, take_watermarks


def mended_tables(
    palace: Path, connection: sqlite3.Connection, rows: DatabaseRows, folders: Folders
) -> Tables:
    """What the small tables should hold. Raises sqlite3.Error."""
    tables = Tables()
    rows = replace(rows, segments=tuple(map(_with_text, rows.segments)))
    take_databases(rows, tables)
    take_collections(rows, tables)
    queued = _queued(connection, rows)
    take_metadata_segments(connection, rows, tables, folders, queued)
    take_vector_segments(connection, rows, tables, folders)
    take_dimensions(palace, connection, rows, tables)
    take_watermarks(palace, connection, rows, tables, queued)
    texts = (row["config_json_str"] for row in rows.queue_settings)
    tables.queue_settings = [str(text) for text in texts if is_queue_setting(text)][:1]
    return tables


def _with_text(segment: Record) -> Record:
    """The row with its collection as text, also where that was stored as bytes."""
    collection = segment["collection"]
    if not isinstance(collection, bytes):
        return segment
    return {**segment, "collection": collection.decode(errors="replace")}


def _queued(connection: sqlite3.Connection, rows: DatabaseRows) -> dict[str, dict[str, int]]:
    """The queue's drawers by collection, and the number of each one's first operation."""
    queued: dict[str, dict[str, int]] = {}
    source = rows.sources.get("embeddings_queue")
    if source is None:
        return queued
    query = f"select topic, id, seq_id from {quoted(source)} order by seq_id"  # noqa: S608
    for topic, drawer, sequence in connection.execute(query):
        if isinstance(topic, str) and isinstance(drawer, str) and type(sequence) is int:
            queued.setdefault(topic.rpartition("/")[2], {}).setdefault(drawer, sequence)
    return queued
