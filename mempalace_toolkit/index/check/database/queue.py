"""Can chromadb read what the queue still holds for it: one entry that it cannot stops them all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from mempalace_toolkit.chroma.operations import WITH_VECTOR
from mempalace_toolkit.chroma.sequences import sequence_number
from mempalace_toolkit.chroma.small_tables import DatabaseRows, Record
from mempalace_toolkit.index.check.database.small_tables import is_mark
from mempalace_toolkit.index.evidence.findings import Finding

TOPIC = "persistent://default/default/"
"""Before a collection's id, whatever tenant and database it is of."""
FORMS = ("FLOAT32", "INT32")
"""How chromadb writes vectors."""

READABLE_TIME = (
    "(typeof(created_at) = 'text' and datetime(created_at) is not null"
    " and created_at glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*')"
)
"""SQL that is true of an entry whose time chromadb can read."""

UNREADABLE = (
    f"not {READABLE_TIME} or typeof(id) != 'text'"
    " or typeof(operation) != 'integer' or operation not between 0 and 3"
    " or (vector is not null and (typeof(vector) != 'blob' or encoding is null"
    f" or encoding not in {FORMS}))"
    " or (metadata is not null and (typeof(metadata) != 'text' or not json_valid(metadata)))"
)
"""SQL that is true of an entry at which chromadb stops."""


def check_queue_rows(connection: sqlite3.Connection, rows: DatabaseRows) -> Iterator[Finding]:
    """Operations above a collection's watermarks can be read, and lie where they are looked for."""
    for row in rows.collections:
        name, taken = str(row["name"]), reached(rows, row)
        where = "topic like '%/' || ? and seq_id > ?"
        values = [row["id"], taken]
        for message, condition in (
            ("cannot be read", UNREADABLE),
            (
                "lie under a name that chromadb does not look for",
                f"topic != '{TOPIC}' || '{row['id']}'",
            ),
        ):
            query = f"select count(*) from embeddings_queue where {where} and ({condition})"  # noqa: S608
            count = int(connection.execute(query, values).fetchone()[0])
            if count:
                yield Finding("queue_damaged", f"{count} operations in the queue {message}", name)
        dimension = row["dimension"]
        lost = (
            f"select count(*) from embeddings_queue where {where} and (vector is null"  # noqa: S608
            " and operation in (?, ?) or typeof(vector) = 'blob' and length(vector) != ?)"
        )
        width = 4 * dimension if isinstance(dimension, int) else -1
        count = int(connection.execute(lost, [*values, *WITH_VECTOR, width]).fetchone()[0])
        if count:
            message = f"{count} operations in the queue have lost their vectors"
            segment = segment_of(rows, row, "VECTOR")
            yield Finding("queue_vectors_lost", message, name, segment, {"operations": count})


def reached(rows: DatabaseRows, collection: Record) -> int:
    """The lower watermark of a collection: chromadb reads the queue above it."""
    marks = {row["segment_id"]: row["seq_id"] for row in rows.watermarks}
    own = [marks.get(segment_of(rows, collection, scope)) for scope in ("VECTOR", "METADATA")]
    return min(sequence_number(one) or 0 if is_mark(one) else 0 for one in own)


def segment_of(rows: DatabaseRows, collection: Record, scope: str) -> str:
    """The collection's segment of that scope."""
    own = (one for one in rows.segments if one["collection"] == collection["id"])
    return next((str(one["id"]) for one in own if one["scope"] == scope), "")
