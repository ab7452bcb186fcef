"""The rows that a repair changes in chromadb's database, and how they are put back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mempalace_toolkit.chroma.database import busy
from mempalace_toolkit.chroma.operations import Operation
from mempalace_toolkit.chroma.records import CollectionRecord
from mempalace_toolkit.chroma.sequences import highest_sequence, sequence_number
from mempalace_toolkit.errors import (
    DamageLeftError,
    PalaceBusyError,
    ToolkitError,
    WriteUndoneError,
)
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.sqlite.failures import is_busy

_MARK = "mempalace-toolkit-mark"  # the id of an operation that only ends the queue


@dataclass(frozen=True, slots=True)
class WatermarkChange:
    """What was changed: the segment's id and watermark before, and the operation added."""

    segment: str
    fresh: str
    before: int | bytes | None
    added: int | None


def replace_segment(
    palace: PalaceLocation, record: CollectionRecord, fresh: str, watermark: int | None
) -> WatermarkChange:
    """Give the collection the index with the id `fresh`, which contains all up to `watermark`.

    It is one transaction, which a client that has flushed the old index since the record was
    read makes fail: the queue may lack what it has flushed.

    None is for an index that holds nothing yet. The queue is left as it is, with one
    exception: where it ends below a watermark it would count anew, and chromadb would take
    later writes for old ones and drop them. Then the deletion of a drawer that never was is
    added to it, numbered as the highest of all watermarks. Raises WriteUndoneError,
    PalaceBusyError, DamageLeftError where the collection has no such index.
    """
    with _writing(palace) as database:
        before = database.execute(
            "select seq_id from max_seq_id where segment_id = ?", [record.vector_segment]
        ).fetchone()
        if sequence_number(before[0] if before else None) != record.vector_watermark:
            raise PalaceBusyError(
                f"another process has written to the index of {record.name} meanwhile: undone",
                "end it, or wait for it to end, then run again",
            )
        written = None if watermark is None else _as_written(database, watermark)
        _rename_segment(database, record.vector_segment, fresh)
        _set_watermark(database, record.vector_segment, None)
        _set_watermark(database, fresh, written)
        added = _end_queue_above(database, record)
    return WatermarkChange(record.vector_segment, fresh, before[0] if before else None, added)


def undo_replacing(palace: PalaceLocation, change: WatermarkChange) -> None:
    """Put the rows back. Raises as above."""
    with _writing(palace) as database:
        _rename_segment(database, change.fresh, change.segment)
        _set_watermark(database, change.fresh, None)
        _set_watermark(database, change.segment, change.before)
        if change.added is not None:
            database.execute("delete from embeddings_queue where seq_id = ?", [change.added])


def _rename_segment(database: sqlite3.Connection, old: str, new: str) -> None:
    changed = database.execute("update segments set id = ? where id = ?", [new, old])
    if changed.rowcount != 1:
        raise DamageLeftError(f"the database has no segment {old}: undone", "run again")
    tables = database.execute("select name from sqlite_master where name = 'segment_metadata'")
    if tables.fetchone():
        query = "update segment_metadata set segment_id = ? where segment_id = ?"
        database.execute(query, [new, old])


def _as_written(database: sqlite3.Connection, watermark: int) -> int | bytes:
    """In the form of the rows that are there.

    chromadb 1.5.9 takes a table with one row of bytes (0.6.3's) for one of bytes alone: it reads
    the number 168 beside it as the eight bytes 11 11 11 11 11 31 36 38, and drops later writes.
    """
    forms = database.execute("select distinct typeof(seq_id) from max_seq_id").fetchall()
    return watermark.to_bytes(8, "big") if ("blob",) in forms else watermark


def _set_watermark(
    database: sqlite3.Connection, segment: str, watermark: int | bytes | None
) -> None:
    if watermark is None:
        database.execute("delete from max_seq_id where segment_id = ?", [segment])
    else:
        database.execute(
            "insert into max_seq_id (segment_id, seq_id) values (?, ?)"
            " on conflict (segment_id) do update set seq_id = excluded.seq_id",
            [segment, watermark],
        )


def _end_queue_above(database: sqlite3.Connection, record: CollectionRecord) -> int | None:
    highest = highest_sequence(database, "max_seq_id", "embeddings")
    if highest_sequence(database, "embeddings_queue") >= highest:
        return None
    database.execute(
        "insert into embeddings_queue (seq_id, operation, topic, id) values (?, ?, ?, ?)",
        [
            highest,
            Operation.DELETE,
            f"persistent://default/default/{record.id}",
            "mempalace-toolkit-mark",
        ],
    )
    return highest


@contextmanager
def _writing(palace: PalaceLocation) -> Iterator[sqlite3.Connection]:
    """One transaction, done in full or not at all."""
    database = sqlite3.connect(palace.database, timeout=10, isolation_level=None)
    try:
        database.execute("pragma synchronous = full")
        database.execute("begin immediate")
        yield database
        database.execute("commit")
    except sqlite3.Error as error:
        raise _undone(palace, error) from error
    finally:
        database.close()  # rolls back what was not committed


def _undone(palace: PalaceLocation, error: sqlite3.Error) -> ToolkitError:
    if is_busy(error):
        return busy(palace)
    return WriteUndoneError(
        f"cannot write to {palace.database}: {error}",
        "free some space or correct the permissions, then run again: nothing was lost",
    )
