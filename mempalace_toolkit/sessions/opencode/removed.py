"""What opencode's own record (table `event`) says was removed after an undo.

opencode deletes undone rows at the next prompt, and from 1.17.11 on writes that down. Only
ids, types, times and roles are taken from that table, never a text: it holds those of deleted
messages. It is the biggest table there is, so nothing is asked that no index answers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mempalace_toolkit.sessions.model import Mark, Role
from mempalace_toolkit.sessions.opencode.decoding import millis_of, text_of
from mempalace_toolkit.sqlite.failures import is_corrupt

REMOVED = "undone and removed by opencode, as its own record says"


def _select(kind: str, *values: str) -> str:
    """The query for values in one session's events of one kind, in every version of it."""
    picked = [
        value if value == "seq" else f"case when json_valid(data) then data ->> '$.{value}' end"
        for value in values
    ]
    # '/' follows '.': the range holds `kind.1`, `kind.2`, …
    return (
        f"select {', '.join(picked)} from event"  # noqa: S608
        f" where aggregate_id = ? and type >= '{kind}.' and type < '{kind}/'"
    )


_REMOVALS = (
    _select("message.removed", "messageID"),
    _select("message.part.removed", "messageID"),
)
_COMMITS = _select("session.next.revert.committed", "seq", "messageID")
_SAID = _select("message.updated", "info.id", "info.role", "info.time.created")
_SAID_IN_V2 = {
    "user": _select("session.next.prompted", "seq", "messageID", "timestamp"),
    "assistant": _select("session.next.step.started", "seq", "assistantMessageID", "timestamp"),
}


@dataclass(frozen=True, slots=True)
class Removals:
    """The removed messages of one session: their ids, and what they are called."""

    ids: frozenset[str] = frozenset()
    marks: dict[Mark, str] = field(default_factory=dict)


def is_indexed(connection: sqlite3.Connection) -> bool:
    """Whether SQLite finds one session's events without walking the table."""
    plan = connection.execute(f"explain query plan {_REMOVALS[0]}", ("",)).fetchall()
    return all(b"SEARCH" in row[3] for row in plan)


def read_removals(
    connection: sqlite3.Connection, session: str, present: Callable[[], frozenset[str]]
) -> Removals:
    """What was removed from a session and is not `present` any more.

    A message of which only parts were removed counts as well; it is there with fewer words.
    """
    try:
        whole, partly = (_ids(connection, query, session) for query in _REMOVALS)
        commits = [(seq, text_of(to)) for seq, to in connection.execute(_COMMITS, (session,))]
        if not (whole or partly or commits):
            return Removals()
        still = present()
        wanted = (whole - still) | partly
        marks = dict(_marks(connection, session, wanted)) if wanted else {}
        committed = list(_committed(connection, session, commits, still))
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        return Removals()  # a record that cannot be read marks nothing
    marks |= {mark: REMOVED for _, mark in committed}
    ids = (whole - still) | {message for message, _ in committed}
    return Removals(frozenset(ids), marks)


def _ids(connection: sqlite3.Connection, query: str, session: str) -> frozenset[str]:
    return frozenset(text_of(row[0]) or "" for row in connection.execute(query, (session,)))


def _marks(
    connection: sqlite3.Connection, session: str, wanted: frozenset[str]
) -> Iterator[tuple[Mark, str]]:
    for message, role, created in connection.execute(_SAID, (session,)):
        if text_of(message) in wanted and (mark := _mark(role, created)):
            yield mark, REMOVED


def _committed(
    connection: sqlite3.Connection,
    session: str,
    commits: Sequence[tuple[int, str | None]],
    present: frozenset[str],
) -> Iterator[tuple[str, Mark]]:
    """The rows of 2.x that committed undos took away: those between the target and the commit."""
    if not commits:
        return
    said = {
        text_of(message) or "": (seq, role, time)
        for role, query in _SAID_IN_V2.items()
        for seq, message, time in connection.execute(query, (session,))
    }
    for commit, target in commits:
        if target not in said:
            continue
        for message, (seq, role, time) in said.items():
            mark = _mark(role, time)
            if said[target][0] < seq < commit and message not in present and mark:
                yield message, mark


def _mark(role: object, created: object) -> Mark | None:
    name = text_of(role)
    time = millis_of(created)
    roles: dict[str | None, Role] = {"user": "user", "assistant": "assistant"}
    return (roles[name], time) if name in roles and time else None
