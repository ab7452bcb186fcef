"""Recognises what a database holds by its tables and columns, never by a version number."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import UnknownSchemaError

_NEEDED = {
    "session": ("id", "directory", "title", "time_created", "time_updated"),
    "session_v2": ("id", "directory", "title", "time_created", "time_updated"),
    "message": ("id", "session_id", "time_created", "time_updated", "data"),
    "part": ("id", "message_id", "session_id", "time_updated", "data"),
    "session_message": ("id", "session_id", "type", "time_created", "time_updated", "data"),
}
_CONSULTED = ("event", "project", "project_directory")
_TALK = {"session": ("message", "part"), "session_v2": ("session_message",)}
_BOOKKEEPING = re.compile(r"__drizzle_migrations|migration|data_migration|sqlite_.*")
_FROM_THE_FUTURE = re.compile(r"(session|message|part|turn|session_message)_v\d+")
_HINT = "this opencode is newer than the toolkit: upgrade mempalace-toolkit, or report the tables"


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables that are read, each with its columns; others are left alone."""

    tables: dict[str, frozenset[str]]

    def has(self, table: str, column: str = "id") -> bool:
        """Whether there is such a table with such a column."""
        return column in self.tables.get(table, ())


def recognise(connection: sqlite3.Connection, path: Path) -> Schema:
    """The schema, or UnknownSchemaError naming the file, its tables and what is missing."""
    rows = connection.execute("select name from sqlite_master where type = 'table' order by name")
    found = [name.decode("utf-8", "replace") for (name,) in rows]
    for table in found:
        unread = _FROM_THE_FUTURE.fullmatch(table) and table not in _NEEDED
        if unread and _has_rows(connection, table):
            raise _unknown(path, found, f"table {table} is unknown")
    schema = Schema(
        {
            name: _columns(connection, name)
            for name in found
            if name in _NEEDED or name in _CONSULTED
        }
    )
    if not any(schema.has(table) for table in _TALK):
        strangers = [name for name in found if not _BOOKKEEPING.fullmatch(name)]
        if strangers:
            raise _unknown(path, found, "no session table")
    for table, columns in schema.tables.items():
        missing = [column for column in _NEEDED.get(table, ()) if column not in columns]
        if missing:
            raise _unknown(path, found, f"table {table} has no column {', '.join(missing)}")
    for table, talk in _TALK.items():
        lacking = [name for name in talk if not schema.has(name)]
        if schema.has(table) and lacking and _has_rows(connection, table):
            raise _unknown(path, found, f"{table} has rows, but there is no {', '.join(lacking)}")
    return schema


def _columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    rows = connection.execute(f"pragma table_info({table})")
    return frozenset(row[1].decode("utf-8", "replace") for row in rows)


def _has_rows(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute(f"select 1 from {table} limit 1").fetchone() is not None  # noqa: S608


def _unknown(path: Path, found: list[str], reason: str) -> UnknownSchemaError:
    names = ", ".join(found)
    return UnknownSchemaError(f"{path}: unknown schema: {reason} (tables: {names})", _HINT)
