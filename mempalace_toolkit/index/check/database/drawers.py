"""What chromadb needs of the drawers' rows: an id, a text, metadata, of a drawer that is there.

A large palace is compared in sums over its indexes; only where these differ, drawer by drawer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from mempalace_toolkit.chroma.sequences import sequence_number
from mempalace_toolkit.chroma.small_tables import DatabaseRows
from mempalace_toolkit.chroma.tables import DOCUMENT
from mempalace_toolkit.index.check.database.small_tables import MEMPALACE, is_identity, is_mark
from mempalace_toolkit.index.evidence.findings import Finding

USUAL = ("wing", "room")
"""The metadata that MemPalace gives every drawer."""
_LOOKED_AT_IN_WHOLE = 1_000_000
_SUM = "total({0} % 1009 * ({0} % 2003))"

MINED = "source_file"
"""What a drawer that MemPalace mined has beside them: without a wing or a room it lost one.
Another client may leave out both."""
_HAS = (
    f"max(key = '{DOCUMENT}') as text, max(key = 'wing') as wing, max(key = 'room') as room,"
    f" max(key = '{MINED}') as mined"
)

WRONG_ID = "typeof(embedding_id) != 'text' or embedding_id = '' or typeof(segment_id) != 'text'"
WRONG_VALUE = (
    "(string_value is not null) + (int_value is not null) + (float_value is not null)"
    " + (bool_value is not null) != 1"
    " or typeof(string_value) not in ('text', 'null')"
    " or typeof(int_value) not in ('integer', 'null')"
    " or typeof(float_value) not in ('real', 'null')"
    " or typeof(bool_value) not in ('integer', 'null')"
    " or typeof(key) != 'text' or typeof(id) != 'integer'"
)
"""SQL that is true of a row that chromadb cannot read, or reads as nothing."""


def check_rows(
    connection: sqlite3.Connection, rows: DatabaseRows, whole: bool
) -> Iterator[Finding]:
    """Every drawer's row can be read, and has a number."""
    wrong = _count(connection, f"select count(*) from embeddings where {WRONG_ID}")  # noqa: S608
    if wrong:
        yield Finding("drawers_damaged", f"the ids of {wrong} drawers are not text")
    query = "select count(*) from embeddings where typeof(seq_id) not in ('integer', 'blob')"
    wrong = _count(connection, query)
    if wrong:
        yield Finding("drawers_damaged", f"{wrong} drawers have no number of an operation")
    wrong = sum(count for segment, count in rows.drawers.items() if not is_identity(segment))
    if wrong:
        yield Finding("drawers_damaged", f"{wrong} drawers are of no segment")
    yield from _above_watermark(connection, rows)


def _above_watermark(connection: sqlite3.Connection, rows: DatabaseRows) -> Iterator[Finding]:
    """A drawer's operation is one that its segment has taken in, or that the queue still has."""
    marks = {row["segment_id"]: row["seq_id"] for row in rows.watermarks}
    for row in rows.segments:
        mark = marks.get(row["id"])
        if row["scope"] != "METADATA" or not is_mark(mark):
            continue
        queued = "select min(seq_id) from embeddings_queue where topic like '%/' || ?"
        lowest = connection.execute(queued, [row["collection"]]).fetchone()[0]
        query = (
            "select count(*) from embeddings not indexed where segment_id = ?"
            " and typeof(seq_id) = 'integer' and seq_id > ? and seq_id < ?"
        )
        top = lowest if isinstance(lowest, int) else 1 << 62
        taken = sequence_number(mark) or 0
        above = int(connection.execute(query, [row["id"], taken, top]).fetchone()[0])
        if above:
            name = collection_of(rows, row["id"])
            message = f"the watermark is below the numbers of {above} drawers"
            yield Finding("watermark_missing", message, name or "", str(row["id"]))


def check_values(
    connection: sqlite3.Connection, rows: DatabaseRows, whole: bool
) -> Iterator[Finding]:
    """Metadata are one text, number or truth each. A large palace's are not all looked at."""
    if not whole and sum(rows.drawers.values()) * 8 > _LOOKED_AT_IN_WHOLE:
        return
    wrong = _count(connection, f"select count(*) from embedding_metadata where {WRONG_VALUE}")  # noqa: S608
    if wrong:
        yield Finding("metadata_damaged", f"{wrong} metadata hold no value that can be read")


def check_texts(
    connection: sqlite3.Connection, rows: DatabaseRows, whole: bool
) -> Iterator[Finding]:
    """Every drawer has its text and any metadata, and no metadata are of no drawer."""
    if _all_complete(connection):
        return
    orphans = _count(
        connection,
        "select count(distinct id) from embedding_metadata"
        " where id not in (select id from embeddings)",
    )
    if orphans:
        yield Finding("metadata_orphaned", f"there are metadata of {orphans} drawers that are gone")
    for segment, total, texts, bare, partial, *usual in connection.execute(_by_segment()):
        name = collection_of(rows, segment)
        if name is None:
            continue
        if has_texts(name, total, texts):
            textless = int(total - texts)
            message = f"{textless} of {total} drawers have no text"
            yield Finding("documents_missing", message, name, numbers={"drawers": textless})
        lost = int(bare if bare < total or name.startswith(MEMPALACE) else 0)
        if missing_keys(name, total, int(bare), *usual):
            lost += int(partial)
        if lost:
            message = f"{lost} of {total} drawers lack their metadata"
            yield Finding("metadata_missing", message, name, numbers={"drawers": lost})


def has_texts(name: str, total: int, texts: int) -> bool:
    """Whether drawers of a collection lack their text: MemPalace's all have one, others' all
    or none."""
    return texts < total and (name.startswith(MEMPALACE) or texts > 0)


def missing_keys(name: str, total: int, bare: int, *having: float) -> tuple[str, ...]:
    """Which of the usual metadata drawers of a collection lack: those of MemPalace have both, so
    where most have one of them all have lost what they have not. So they have where all are
    `bare`: MemPalace files no drawer without metadata."""
    if not name.startswith(MEMPALACE):
        return ()
    if bare == total > 0:
        return USUAL
    if max(having) <= total // 2:
        return ()
    return tuple(key for key, count in zip(USUAL, having, strict=True) if count < total)


def collection_of(rows: DatabaseRows, segment: object) -> str | None:
    """The name of the collection that a segment is of; None where it is of none."""
    collection = next((one["collection"] for one in rows.segments if one["id"] == segment), None)
    return next((str(one["name"]) for one in rows.collections if one["id"] == collection), None)


def _all_complete(connection: sqlite3.Connection) -> bool:
    """Whether the drawers are exactly those with metadata, and all have text, wing and room."""
    found = connection.execute(
        f"select count(*), {_SUM.format('id')}, total(text), total(wing), total(room) from"  # noqa: S608
        f" (select id, {_HAS} from embedding_metadata group by id)"
    ).fetchone()
    drawers = f"select count(*), {_SUM.format('id')} from embeddings"  # noqa: S608
    own = connection.execute(drawers).fetchone()
    return bool(tuple(found[:2]) == own and all(int(one) == own[0] for one in found[2:]))


def _by_segment() -> str:
    return (
        "select segment_id, count(*), total(text), total(coalesce(others, 0) = 0),"  # noqa: S608
        " total(mined and not (wing and room)), total(wing), total(room)"
        f" from embeddings left join (select id as drawer, {_HAS},"
        f" count(*) - max(key = '{DOCUMENT}') as others from embedding_metadata group by id)"
        " on drawer = embeddings.id group by segment_id"
    )


def _count(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


DRAWER_CHECKS: tuple[Callable[[sqlite3.Connection, DatabaseRows, bool], Iterator[Finding]], ...] = (
    check_rows,
    check_values,
    check_texts,
)
