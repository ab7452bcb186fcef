"""What a chromadb palace holds, counted in its SQLite database: drawers, pages, wings.

Schema as of chromadb 1.5.9: `embeddings` rows belong to a metadata segment of a collection;
`embedding_metadata` holds a row a key. Sentinels (room `_registry`) are rows, not drawers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.chroma.database import failed
from mempalace_toolkit.chroma.sequences import highest_sequence
from mempalace_toolkit.palace.location import PalaceLocation

COLLECTION = "mempalace_drawers"
_TABLES = {"collections", "segments", "embeddings", "embedding_metadata", "embeddings_queue"}
_LAST_CHARACTER = "\U0010ffff"

_OF_COLLECTION = """
    from embeddings e join segments s on s.id = e.segment_id and s.scope = 'METADATA'
    join collections c on c.id = s.collection and c.name = ?
"""
_NOT_SENTINEL = """
    and not exists (select 1 from embedding_metadata r
                    where r.id = e.id and r.key = 'room' and r.string_value = '_registry')
"""


@dataclass(frozen=True, slots=True)
class DrawerCount:
    """How many drawers the palace holds, and a mark to tell later ones by.

    `mark` is the highest sequence number given out so far: every row that is written
    afterwards has a higher one, also where it replaces a row.
    """

    drawers: int = 0
    mark: int = 0


@dataclass(frozen=True, slots=True)
class MinedPage:
    """A page as the palace knows it.

    `mtime` is in seconds, None for rows without one. `complete` is False where a killed mine
    filed a part of the page. `sentinel` marks a page without drawers of its own, because
    another page of the wing says the same.
    """

    mtime: float | None
    rows: int
    complete: bool
    sentinel: bool


@dataclass(frozen=True, slots=True)
class PageTotals:
    """A palace's pages of the spool in three numbers: pages, their rows, the mark of all."""

    pages: int = 0
    rows: int = 0
    mark: int = 0


@contextmanager
def _reading(palace: PalaceLocation) -> Iterator[sqlite3.Connection | None]:
    """A read-only connection, or None where the palace has no database or no tables yet.

    A killed chromadb leaves a database without tables; it fills it when it is opened again.
    """
    if not palace.has_hnsw_index or not palace.database.is_file():
        yield None
        return
    try:
        connection = sqlite3.connect(f"{palace.database.as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            tables = {row[0] for row in connection.execute("select name from sqlite_master")}
            yield connection if tables >= _TABLES else None
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise failed(palace, error) from error


def count_drawers(palace: PalaceLocation) -> DrawerCount:
    """The palace's drawers and its mark. Raises MempalaceError on a broken database."""
    with _reading(palace) as database:
        if database is None:
            return DrawerCount()
        drawers = database.execute(
            f"select count(*) {_OF_COLLECTION} where true {_NOT_SENTINEL}",
            [COLLECTION],
        ).fetchone()[0]
        return DrawerCount(drawers, _mark(database))


def filed_since(palace: PalaceLocation, mark: int) -> dict[str, int]:
    """Drawers written after `mark`, a count a wing.

    Those that an older chromadb wrote are numbered in bytes, which SQLite holds for more than
    any number; none of them was written now.
    """
    with _reading(palace) as database:
        if database is None:
            return {}
        query = f"""
            select w.string_value, count(*) {_OF_COLLECTION}
            join embedding_metadata w on w.id = e.id and w.key = 'wing'
            where e.seq_id > ? and typeof(e.seq_id) = 'integer' {_NOT_SENTINEL}
            group by w.string_value
        """
        return dict(database.execute(query, [COLLECTION, mark]).fetchall())


def _mark(database: sqlite3.Connection) -> int:
    return highest_sequence(database, "embeddings_queue", "max_seq_id", "embeddings")


def page_totals(palace: PalaceLocation, spool: Path) -> PageTotals:
    """What the palace holds of `spool`, in numbers that differ where that does.

    One pass over an index (20 ms for 100,000 rows): a cheap sign that the palace is not the
    one that was last seen, because it was deleted, restored, pruned or written to.
    """
    with _reading(palace) as database:
        if database is None:
            return PageTotals()
        pages, rows = database.execute(
            "select count(distinct string_value), count(*) from embedding_metadata"
            " where key = 'source_file' and string_value >= ? and string_value < ?",
            _span(spool),
        ).fetchone()
        return PageTotals(pages, rows, _mark(database))


def mined_pages(palace: PalaceLocation, spool: Path) -> dict[str, MinedPage]:
    """Every page of `spool` that the palace knows, by its path below `spool`."""
    prefix, end = _span(spool)
    with _reading(palace) as database:
        if database is None:
            return {}
        rows = database.execute(
            "select f.string_value, max(coalesce(m.float_value, m.int_value)), count(*),"
            " count(*) >= coalesce(max(t.int_value), 1), min(r.string_value = '_registry')"
            " from embedding_metadata f"
            " join embeddings e on e.id = f.id"
            " join segments s on s.id = e.segment_id"
            " join collections c on c.id = s.collection and c.name = ?"
            " left join embedding_metadata m on m.id = f.id and m.key = 'source_mtime'"
            " left join embedding_metadata t on t.id = f.id and t.key = 'chunk_total'"
            " left join embedding_metadata r on r.id = f.id and r.key = 'room'"
            " where f.key = 'source_file' and f.string_value >= ? and f.string_value < ?"
            " group by f.string_value",
            (COLLECTION, prefix, end),
        )
        return {
            path[len(prefix) :]: MinedPage(mtime, count, bool(complete), bool(sentinel))
            for path, mtime, count, complete, sentinel in rows
        }


def _span(spool: Path) -> tuple[str, str]:
    """Where paths below `spool` begin and end in the order of the index."""
    prefix = f"{spool}/"
    return prefix, prefix + _LAST_CHARACTER


def roll_back_journal(palace: PalaceLocation) -> bool:
    """Undo the transaction that a killed writer left open; True where there was one.

    The caller holds the palace. SQLite rolls back by itself when it is opened for writing,
    and a read-only look is refused until then.
    """
    if not palace.database.with_name(f"{palace.database.name}-journal").exists():
        return False
    connection = sqlite3.connect(palace.database, timeout=5)
    try:
        connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise failed(palace, error, "rolled back") from error
    finally:
        connection.close()
    return True
