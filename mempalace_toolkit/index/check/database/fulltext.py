"""Whether chromadb's index of words is whole: where it is not, chromadb cannot file anything.

SQLite's own look differs between its versions (3.51 finds this in a quick check, 3.40 does not)
and needs a writer, so the index is looked at here: its tables, the rows in them, the pages that
its structure names. A small one is also read as a whole, from a copy in memory.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

from mempalace_toolkit.sqlite.failures import is_busy, primary_code

TABLE = "embedding_fulltext_search"
DOCUMENT = "chroma:document"
_PARTS = ("data", "idx", "content", "docsize", "config")
_DEFINED = re.compile(r"using\s+fts5\s*\(\s*string_value\s*,.*trigram", re.IGNORECASE | re.DOTALL)
_TOTALS, _STRUCTURE = 1, 10
_SEGMENT_BITS = 37
_VERSION_2 = b"\xff\x00\x00\x01"
_COPIED_PAGES = 3_000  # 12 MB: read as a whole in a third of a second
_WALKED_PAGES = 14_000  # every word of 20,000 drawers in 0.7 s
_EVERY_PAGE = 200_000  # 2 s for 1,000,000
_STRIDE = 16


def fulltext_problem(connection: sqlite3.Connection, whole: bool = False) -> str:
    """What is wrong with the full-text index, or nothing; `whole` looks however large it is."""
    try:
        return next(_problems(connection, whole), "")
    except sqlite3.Error as error:
        if is_busy(error) or primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            raise
        return f"SQLite says of it: {error}"


def _problems(connection: sqlite3.Connection, whole: bool) -> Iterator[str]:
    made = dict(connection.execute("select name, type from sqlite_master where type != 'index'"))
    definition = connection.execute(
        "select sql from sqlite_master where name = ? and type = 'table'", [TABLE]
    ).fetchone()
    if definition is None:
        yield "it is gone"
    elif not _DEFINED.search(str(definition[0])):
        yield "it is a different table from chromadb's"
    for part in _PARTS:
        if made.get(f"{TABLE}_{part}") != "table":
            yield f"its table {TABLE}_{part} is gone"
    version = connection.execute(f"select v from {TABLE}_config where k = 'version'").fetchone()  # noqa: S608
    if version is None or version[0] != 4:
        yield "it does not say its version"
    yield from _rows(connection)
    pages, problem = _pages(connection)
    if problem:
        yield problem
    yield from _contents(connection, pages, whole)


def _rows(connection: sqlite3.Connection) -> Iterator[str]:
    """Its rows are the drawers with a text, each once."""
    texts = connection.execute(
        "select count(*), total(id), total(id % 1009 * (id % 2003)) from embedding_metadata"
        " where key = ?",
        [DOCUMENT],
    ).fetchone()
    for part in ("docsize", "content"):
        query = f"select count(*), total(id), total(id % 1009 * (id % 2003)) from {TABLE}_{part}"  # noqa: S608
        rows = connection.execute(query).fetchone()
        if rows != texts:
            yield f"it has {rows[0]} rows in {part} for {texts[0]} texts, or those of others"


def _pages(connection: sqlite3.Connection) -> tuple[int, str]:
    """How many pages it has; and which of those that its structure names are no pages."""
    query = f"select block from {TABLE}_data where id = ?"  # noqa: S608
    row = connection.execute(query, [_STRUCTURE]).fetchone()
    try:
        segments = _structure(row[0])
    except (IndexError, TypeError, ValueError):
        return 0, "its structure cannot be read"
    total = sum(last - first + 1 for _, first, last in segments)
    named = {
        segment
        for (segment,) in connection.execute(f"select distinct segid from {TABLE}_idx")  # noqa: S608
    }
    if any(segment not in named for segment, _, _ in segments):
        return total, "a part of it has no words"
    stride = 1 if total <= _EVERY_PAGE else _STRIDE
    for segment, first, last in segments:
        low, high = (segment << _SEGMENT_BITS) + first, (segment << _SEGMENT_BITS) + last
        rows = connection.execute(
            f"select substr(block, 1, 4), length(block) from {TABLE}_data"  # noqa: S608
            " where id between ? and ? and (? = 1 or id % ? = 0)",
            [low, high, stride, stride],
        )
        seen = 0
        for head, size in rows:
            seen += 1
            if not _is_page(head, size):
                return total, f"page {first + seen - 1} of its part {segment} is damaged"
        if stride == 1 and seen != last - first + 1:
            return total, f"it lacks {last - first + 1 - seen} pages of its part {segment}"
    return total, ""


def _is_page(head: object, size: int) -> bool:
    if not isinstance(head, bytes) or len(head) < 4:
        return False
    rowid, content = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
    return 4 <= content <= size and rowid < max(content, 1)


def _structure(block: bytes) -> list[tuple[int, int, int]]:
    """The parts that FTS5's structure record names: number, first page, last page."""
    at = 4
    extended = block[at : at + 4] == _VERSION_2
    at += 4 if extended else 0
    numbers = _varints(block, at)
    levels, count, _ = next(numbers), next(numbers), next(numbers)
    segments = []
    for _ in range(levels):
        next(numbers)
        for _ in range(next(numbers)):
            segments.append((next(numbers), next(numbers), next(numbers)))
            if extended:
                for _ in range(5):
                    next(numbers)
    if len(segments) != count or any(not 0 < first <= last for _, first, last in segments):
        raise ValueError("a structure that contradicts itself")
    return segments


def _varints(block: bytes, at: int) -> Iterator[int]:
    while True:
        value = 0
        for place in range(9):
            byte = block[at]
            at += 1
            if place == 8:
                value = (value << 8) | byte
                break
            value = (value << 7) | (byte & 0x7F)
            if byte < 0x80:
                break
        yield value


def _contents(connection: sqlite3.Connection, pages: int, whole: bool) -> Iterator[str]:
    """The texts, the words, and both against each other, as far as the size allows."""
    if pages > _WALKED_PAGES and not whole:
        return
    differing = connection.execute(
        f"select count(*) from {TABLE}_content c join embedding_metadata m"  # noqa: S608
        " on m.id = c.id and m.key = ? where c.c0 is not m.string_value",
        [DOCUMENT],
    ).fetchone()[0]
    if differing:
        yield f"it has another text of {differing} drawers"
    if pages <= _COPIED_PAGES:
        with closing(sqlite3.connect(":memory:")) as copy:
            connection.backup(copy)
            copy.execute(f"insert into {TABLE} ({TABLE}) values ('integrity-check')")  # noqa: S608
        return
    connection.execute("pragma query_only = 0")  # for a table in memory; the file is read only
    try:
        connection.execute(
            f"create virtual table temp.word_counts using fts5vocab('main', {TABLE}, row)"
        )
        words = connection.execute("select total(cnt) from temp.word_counts").fetchone()[0]
        connection.execute("drop table temp.word_counts")
    finally:
        connection.execute("pragma query_only = 1")
    expected = _counted(connection)
    if words != expected:
        yield f"it holds {words:.0f} of {expected} pieces of the texts"


def _counted(connection: sqlite3.Connection) -> int:
    """How many pieces of texts it says to hold: the second number of its record of totals."""
    query = f"select block from {TABLE}_data where id = ?"  # noqa: S608
    row = connection.execute(query, [_TOTALS]).fetchone()
    try:
        rows, pieces = islice(_varints(row[0], 0), 2)
    except (IndexError, TypeError, ValueError, RuntimeError):
        return -1
    return pieces if rows else 0
