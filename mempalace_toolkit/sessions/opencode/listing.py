"""Lists the sessions of a database without reading their talk."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from mempalace_toolkit.sessions.model import SessionRef
from mempalace_toolkit.sessions.opencode.decoding import millis_of, text_of
from mempalace_toolkit.sessions.opencode.schema import Schema
from mempalace_toolkit.sessions.opencode.source import Entry, key_of

# Each of these walks an index, or the first columns of a table, never the talk itself.
_MESSAGES = """
select session_id, count(*), min(time_created), max(time_updated) from message group by session_id
"""
_PARTS = "select session_id, count(*), max(rowid) from part group by session_id"
_ROWS = """
select session_id, count(*), min(time_created), max(time_updated) from session_message
where type in ('user', 'assistant') group by session_id
"""
_LAST_PARTS = """
select s.id, (
  select max(p.time_updated) from part p where p.message_id = (
    select m.id from message m where m.session_id = s.id
    order by m.time_created desc, m.id desc limit 1
  )
) from session s
"""
_OPTIONAL = ("parent_id", "revert", "time_archived", "fork_session_id")

Counts = dict[object, tuple[object, ...]]


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


@dataclass(frozen=True, slots=True)
class Listing:
    """The sessions found, and how many rows could not be taken."""

    entries: list[Entry]
    in_v2: frozenset[str]
    nameless: int
    orphans: int


def list_sessions(connection: sqlite3.Connection, schema: Schema, source: str) -> Listing:
    """Every session once; one that 2.x took over is taken from `session_v2`."""
    messages = _counted(connection, _MESSAGES) if schema.has("message") else {}
    parts = _counted(connection, _PARTS) if schema.has("part") else {}
    rows = _counted(connection, _ROWS) if schema.has("session_message") else {}
    complete = schema.has("session") and schema.has("message") and schema.has("part")
    last = _counted(connection, _LAST_PARTS) if complete else {}
    entries: dict[str, Entry] = {}
    seen: set[object] = set()
    in_v2: set[str] = set()
    nameless = 0
    for table in ("session_v2", "session"):
        for row in _session_rows(connection, schema, table):
            session = text_of(row.id)
            if not session:
                nameless += 1
                continue
            seen.add(row.id)
            if session in entries:
                continue
            mine = rows.get(row.id, ())
            old = (messages, parts, last) if table == "session" else ()
            counts = (mine, *(part.get(row.id, ()) for part in old))
            entries[session] = _entry(row, source, counts)
            if table == "session_v2":
                in_v2.add(session)
    orphans = sum(1 for owner in {*messages, *rows} if owner not in seen)
    return Listing(list(entries.values()), frozenset(in_v2), nameless, orphans)


def _session_rows(connection: sqlite3.Connection, schema: Schema, table: str) -> list[SessionRow]:
    if not schema.has(table):
        return []
    optional = [name if schema.has(table, name) else "null" for name in _OPTIONAL]
    columns = ", ".join(("id", "directory", "title", "time_created", "time_updated", *optional))
    query = f"select {columns} from {table}"  # noqa: S608
    return [SessionRow(*row) for row in connection.execute(query)]


def _counted(connection: sqlite3.Connection, query: str) -> Counts:
    return {row[0]: row[1:] for row in connection.execute(query)}


def _entry(row: SessionRow, source: str, counts: tuple[tuple[object, ...], ...]) -> Entry:
    firsts = [group[1] for group in counts[:2] if group]
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
    )
    first = min((millis_of(value) for value in firsts), default=None)
    return Entry(ref, first, text_of(row.forked_from) or None, row.revert)
