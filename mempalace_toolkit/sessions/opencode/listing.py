"""Lists the sessions of a database without reading their talk."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from mempalace_toolkit.sessions.model import SessionRef
from mempalace_toolkit.sessions.opencode.damage import Rows, read_rows_by_id
from mempalace_toolkit.sessions.opencode.decoding import millis_of, text_of
from mempalace_toolkit.sessions.opencode.projects import Moved, Projects, read_projects
from mempalace_toolkit.sessions.opencode.schema import Schema
from mempalace_toolkit.sessions.opencode.source import Entry, key_of
from mempalace_toolkit.sqlite.failures import is_corrupt

# Each of these walks an index, or the first columns of rows, never the talk itself.
_MESSAGES = """
select count(*), min(time_created), max(time_updated) from message where session_id = ?
"""
_ROWS = """
select count(*), min(time_created), max(time_updated) from session_message
where session_id = ? and type in ('user', 'assistant')
"""
_PARTS = "select count(*), max(rowid) from part where session_id = ?"
_LAST_PARTS = """
select max(time_updated) from part where message_id = (
  select id from message where session_id = ? order by time_created desc, id desc limit 1
)
"""
_ORPHANS = "select count(distinct session_id) from {table} where {conditions}"
_OPTIONAL = ("parent_id", "revert", "time_archived", "fork_session_id", "project_id")

Values = tuple[object, ...]


class SessionRow(NamedTuple):
    """A row of `session` or `session_v2`, as stored."""

    id: object
    directory: object
    title: object
    created: object
    updated: object
    parent: object
    revert: object
    archived: object
    forked_from: object
    project: object


@dataclass(frozen=True, slots=True)
class Listing:
    """The sessions found, and how many rows could not be taken."""

    entries: list[Entry]
    in_v2: frozenset[str]
    nameless: int
    orphans: int
    moved: tuple[Moved, ...]
    lost: tuple[str, ...]
    is_complete: bool


def list_sessions(connection: sqlite3.Connection, schema: Schema, source: str) -> Listing:
    """Every session once; one that 2.x took over is taken from `session_v2`."""
    entries: dict[str, Entry] = {}
    in_v2: set[str] = set()
    lost: set[str] = set()
    nameless = 0
    is_complete = True
    projects = read_projects(connection, schema)
    for table in ("session_v2", "session"):
        queries = [_ROWS] if schema.has("session_message") else []
        if schema.has("message") and schema.has("part"):  # what 1.x said after a migration, too
            queries += [_MESSAGES, _PARTS, _LAST_PARTS]
        rows = _session_rows(connection, schema, table)
        lost |= {text_of(one) or "" for one in rows.lost}
        is_complete &= rows.is_complete
        for row in (SessionRow(*values) for values in rows.found):
            session = text_of(row.id)
            if not session:
                nameless += 1
            elif session not in entries:
                counts = [_counted(connection, query, session) for query in queries]
                entries[session] = _entry(row, source, counts, projects)
                projects.note(row.project, entries[session].ref)
                if table == "session_v2":
                    in_v2.add(session)
    return Listing(
        list(entries.values()),
        frozenset(in_v2),
        nameless,
        _count_orphans(connection, schema),
        tuple(projects.moved()),
        tuple(sorted(lost - entries.keys())),
        is_complete,
    )


def _session_rows(connection: sqlite3.Connection, schema: Schema, table: str) -> Rows:
    if not schema.has(table):
        return Rows([])
    optional = [name if schema.has(table, name) else "null" for name in _OPTIONAL]
    columns = ", ".join(("id", "directory", "title", "time_created", "time_updated", *optional))
    return read_rows_by_id(connection, columns, table)


def _counted(connection: sqlite3.Connection, query: str, *values: str) -> Values:
    """The query's row; empty where damage in the file lies in the way."""
    try:
        return tuple(connection.execute(query, values).fetchone())
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        return ()


def _count_orphans(connection: sqlite3.Connection, schema: Schema) -> int:
    """How many sessions are gone, but left messages that nothing reads."""
    owners = [table for table in ("session", "session_v2") if schema.has(table)]
    conditions = " and ".join(
        f"session_id not in (select id from {table})"  # noqa: S608
        for table in owners
    )
    tables = [table for table in ("message", "session_message") if schema.has(table) and owners]
    queries = [_ORPHANS.format(table=table, conditions=conditions) for table in tables]
    counts = (_counted(connection, query) for query in queries)
    return sum(count[0] for count in counts if count and isinstance(count[0], int))


def _entry(row: SessionRow, source: str, counts: list[Values], projects: Projects) -> Entry:
    firsts = [group[1] for group in counts if len(group) == 3 and group[0]]
    ref = SessionRef(
        agent="opencode",
        id=text_of(row.id) or "",
        title=text_of(row.title) or "",
        directory=text_of(row.directory) or "",
        created=millis_of(row.created),
        updated=millis_of(row.updated),
        change_key=key_of(row, counts),
        source=source,
        parent=text_of(row.parent) or None,
        archived=millis_of(row.archived) > 0,
        repository=projects.repository(row.project, text_of(row.directory) or ""),
    )
    first = min((millis_of(value) for value in firsts), default=None)
    return Entry(ref, first, text_of(row.forked_from) or None, row.revert)
