"""Tells a database that chromadb had just begun from one that lost its tables.

chromadb creates its tables by migrations, each in a transaction that also records its text in
the table `migrations`. One that was killed in between leaves the first few; the next one goes on.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

_BEFORE_MIGRATIONS = {"migrations", "acquire_write"}
_CONTENT = ("collections", "segments", "embeddings", "embeddings_queue")
_NAMED = re.compile(
    r"\bCREATE\s+(?P<virtual>VIRTUAL\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?[\"'`]?(?P<made>\w+)"
    r"|\bRENAME\s+TO\s+[\"'`]?(?P<renamed>\w+)",
    re.IGNORECASE,
)


def just_begun(connection: sqlite3.Connection) -> bool:
    """Whether the database holds nothing, in no other tables than its own migrations made.

    Raises sqlite3.Error where it cannot be read.
    """
    query = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
    tables = {str(name) for (name,) in connection.execute(query)}
    texts: list[object] = []
    if "migrations" in tables:
        texts = [text for (text,) in connection.execute("select sql from migrations")]
    if not tables <= _explained(tables, texts):
        return False
    return not any(_has_rows(connection, table) for table in _CONTENT if table in tables)


def _explained(tables: set[str], texts: Iterable[object]) -> set[str]:
    """The tables that these migrations made, and those that SQLite made for theirs."""
    known = set(_BEFORE_MIGRATIONS)
    for text in texts:
        for found in _NAMED.finditer(str(text)):
            known.add(found["made"] or found["renamed"])
            if found["virtual"]:
                known |= {table for table in tables if table.startswith(f"{found['made']}_")}
    return known


def _has_rows(connection: sqlite3.Connection, table: str) -> bool:
    query = f"select exists (select 1 from {table})"  # noqa: S608 - one of our own names
    return bool(connection.execute(query).fetchone()[0])
