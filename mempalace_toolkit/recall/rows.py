"""Drawers' texts and metadata as chromadb's tables have them, read on a connection of a moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mempalace_toolkit.recall.filters import Condition

_DOCUMENT = "chroma:document"
_AT_ONCE = 500
_SELECTION = "from embeddings e where e.segment_id = ? and ({})"  # a condition made of marks

Key = TypeVar("Key", int, str)


@dataclass(frozen=True, slots=True)
class Row:
    """A drawer's row; `metadata` is None where it has none."""

    id: str
    document: str | None
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: those that a condition holds for, of these ids, some of them in their order."""

    condition: Condition
    ids: Sequence[str] | None = None
    limit: int | None = None
    offset: int = 0


def rows_of(connection: sqlite3.Connection, segment: str, ids: Iterable[str]) -> dict[str, Row]:
    """The rows of these drawers; those that have none are left out."""
    found: dict[str, Row] = {}
    for some in _groups(list(dict.fromkeys(ids))):
        marks = ",".join("?" * len(some))
        numbers = dict(
            connection.execute(
                f"select id, embedding_id from embeddings where segment_id = ?"  # noqa: S608 - marks only
                f" and embedding_id in ({marks})",
                [segment, *some],
            )
        )
        found.update((row.id, row) for row in _filled(connection, numbers))
    return found


def select_rows(connection: sqlite3.Connection, segment: str, wanted: Wanted) -> list[Row]:
    """The rows that are wanted, in the order in which the drawers were filed."""
    sql = f"select e.id, e.embedding_id {_SELECTION.format(wanted.condition.sql)}"
    values = [segment, *wanted.condition.values]
    if wanted.ids is None:
        window = [-1 if wanted.limit is None else wanted.limit, wanted.offset]
        rows = connection.execute(f"{sql} order by e.id limit ? offset ?", [*values, *window])
        return list(_filled(connection, dict(rows)))
    numbers: dict[int, str] = {}
    for some in _groups(list(dict.fromkeys(wanted.ids))):
        sql_of_ids = f"{sql} and e.embedding_id in ({','.join('?' * len(some))})"
        numbers.update(connection.execute(sql_of_ids, [*values, *some]).fetchall())
    end = None if wanted.limit is None else wanted.offset + wanted.limit
    return list(_filled(connection, dict(sorted(numbers.items())[wanted.offset : end])))


def ids_where(connection: sqlite3.Connection, segment: str, condition: Condition) -> list[str]:
    """The ids of the drawers that a condition holds for."""
    sql = f"select e.embedding_id {_SELECTION.format(condition.sql)}"
    return [identity for (identity,) in connection.execute(sql, [segment, *condition.values])]


def count_rows(connection: sqlite3.Connection, segment: str) -> int:
    """How many drawers there are."""
    query = "select count(*) from embeddings where segment_id = ?"
    (count,) = connection.execute(query, [segment]).fetchone()
    return int(count)


def _groups(ids: Sequence[Key]) -> Iterator[Sequence[Key]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _filled(connection: sqlite3.Connection, numbers: dict[int, str]) -> Iterator[Row]:
    for some in _groups(list(numbers)):
        documents: dict[int, str] = {}
        metadata: dict[int, dict[str, Any]] = {}
        cells = connection.execute(
            "select id, key, string_value, int_value, float_value, bool_value"  # noqa: S608 - marks only
            f" from embedding_metadata where id in ({','.join('?' * len(some))})",
            some,
        )
        for number, key, *values in cells:
            if key == _DOCUMENT:
                documents[number] = values[0]
            elif not str(key).startswith("chroma:"):
                metadata.setdefault(number, {})[key] = _value(values)
        for number in some:
            yield Row(numbers[number], documents.get(number), metadata.get(number))


def _value(cells: Sequence[Any]) -> Any:
    text, whole, fraction, truth = cells
    if text is not None:
        return text
    if whole is not None:
        return whole
    return fraction if fraction is not None else None if truth is None else bool(truth)
