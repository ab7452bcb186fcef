"""Reads rows past damaged pages: from both ends of a table, and by its index of ids."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from mempalace_toolkit.sqlite.failures import is_corrupt


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that could be read, the ids of those that could not, and if those are all ids."""

    found: list[tuple[object, ...]]
    lost: tuple[object, ...] = ()
    is_complete: bool = True


def read_rows_by_id(connection: sqlite3.Connection, columns: str, table: str) -> Rows:
    """All rows of a table that has a column `id`, the first of the columns."""
    try:
        return Rows(list(connection.execute(f"select {columns} from {table}")))  # noqa: S608
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
    ids: dict[object, None] = {}
    is_complete = False
    for order in ("id", "id desc", "rowid", "rowid desc"):
        query = f"select id from {table} order by {order}"  # noqa: S608
        is_complete |= _collect(connection, query, ids)
    found: list[tuple[object, ...]] = []
    lost = []
    for one in ids:
        query = f"select {columns} from {table} where id = cast(? as text)"  # noqa: S608
        try:
            found += connection.execute(query, (one,)).fetchall()[:1]
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            lost.append(one)
    return Rows(found, tuple(lost), is_complete)


def _collect(connection: sqlite3.Connection, query: str, ids: dict[object, None]) -> bool:
    """Add the ids that the query gives; whether it came to its end."""
    try:
        for (one,) in connection.execute(query):
            ids[one] = None
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        return False
    return True
