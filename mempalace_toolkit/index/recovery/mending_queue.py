"""The queue of a mended database: every entry as chromadb reads it, none lost that it needs."""

from __future__ import annotations

import json
import sqlite3

from mempalace_toolkit.chroma.operations import Operation
from mempalace_toolkit.index.check.database.queue import FORMS, READABLE_TIME, TOPIC
from mempalace_toolkit.index.recovery.mending_tables import Tables


def mended_queue(
    connection: sqlite3.Connection, tables: Tables
) -> tuple[tuple[tuple[object, ...], ...], list[str]]:
    """The rows to insert, and what of them is lost. Raises sqlite3.Error."""
    entries: dict[int, tuple[object, ...]] = {}
    lost = 0
    query = (
        f"select seq_id, case when {READABLE_TIME} then created_at end, operation, topic, id,"  # noqa: S608
        " vector, encoding, metadata from temp.queue order by seq_id"
    )
    for (
        sequence,
        moment,
        operation,
        topic,
        drawer,
        vector,
        encoding,
        metadata,
    ) in connection.execute(query):
        collection = str(topic).rpartition("/")[2]
        if type(sequence) is not int or sequence in entries:
            continue
        row = tables.collections.get(collection)
        if row is None:
            if isinstance(topic, str) and isinstance(drawer, str):
                entries[sequence] = (
                    sequence,
                    moment,
                    operation,
                    topic,
                    drawer,
                    vector,
                    encoding,
                    metadata,
                )
            continue
        taken = tables.watermarks.get(tables.segment(collection, "METADATA"), 0)
        readable = metadata is None or _is_object(metadata)
        if sequence > taken and (not readable or not isinstance(drawer, str)):
            lost += 1
        if not isinstance(drawer, str):
            continue
        vector = vector if isinstance(vector, bytes) else None
        if vector is not None and encoding not in FORMS:
            encoding = FORMS[0]
        if operation not in [*Operation]:
            operation = _guessed(vector, metadata)
        entries[sequence] = (
            sequence,
            moment,
            operation,
            TOPIC + collection,
            drawer,
            vector,
            encoding,
            metadata if readable else None,
        )
    losses = [f"{lost} operations that were not done yet"] if lost else []
    return tuple(entries.values()), losses


def _guessed(vector: bytes | None, metadata: object) -> Operation:
    """What an operation was that has no number of one, by what it brings."""
    if vector is not None:
        return Operation.UPSERT
    return Operation.UPDATE if metadata else Operation.DELETE


def _is_object(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
