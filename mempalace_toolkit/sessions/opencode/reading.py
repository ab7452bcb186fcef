"""One session's talk out of the tables that may each hold some of it.

1.x writes `message` and `part`; its v2 interface and 2.x write `session_message`. A session
that 2.x took over has its older turns in both, under the same ids, and goes on in either.
"""

from __future__ import annotations

import sqlite3

from mempalace_toolkit.sessions.opencode.messages import Problems, StoredMessage
from mempalace_toolkit.sessions.opencode.removed import Removals, read_removals
from mempalace_toolkit.sessions.opencode.rows import message_ids, place_of, read_messages
from mempalace_toolkit.sessions.opencode.rows_v2 import (
    Row,
    has_talk,
    merged_talk,
    read_rows,
    row_ids,
    rows_talk,
    without_repeats,
)
from mempalace_toolkit.sessions.opencode.schema import Schema
from mempalace_toolkit.sessions.opencode.talk import Talk, visible_talk
from mempalace_toolkit.sessions.opencode.undo import Cut, Revert, cut_where_gone, parse_revert


class SessionReader:
    """Reads one session on one connection; what is wrong is counted in `problems`."""

    def __init__(
        self,
        db: sqlite3.Connection,
        schema: Schema,
        session: str,
        problems: Problems,
        *,
        has_events: bool,
    ) -> None:
        self._db = db
        self._schema = schema
        self._session = session
        self._problems = problems
        self._has_events = has_events

    def talk(self, revert: Revert | None, is_migrated: bool) -> Talk:
        """The session's talk; `is_migrated` where 2.x took it over."""
        talk = self._stored_talk(revert, is_migrated)
        for mark, reason in self._removals().marks.items():
            talk.withdrawn.setdefault(mark, reason)
        return talk

    def _stored_talk(self, revert: Revert | None, is_migrated: bool) -> Talk:
        rows = self._rows()
        if not self._schema.has("message"):
            return rows_talk(rows, revert, self._cut(revert, [], rows))
        if not is_migrated:
            return self._united(rows, revert)
        if not has_talk(rows):
            return self._united(rows, revert or self._older_revert())
        talk = rows_talk(rows, revert, self._cut(revert, [], rows))
        return merged_talk(talk, self._said_since(rows))

    def _removals(self) -> Removals:
        if not self._has_events:
            return Removals()
        return read_removals(self._db, self._session, self._present)

    def _present(self) -> frozenset[str]:
        """The ids of all messages and rows of the session."""
        ids: frozenset[str] = frozenset()
        if self._schema.has("message"):
            ids |= message_ids(self._db, self._session)
        if self._schema.has("session_message"):
            ids |= row_ids(self._db, self._session)
        return ids

    def _rows(self) -> list[Row]:
        if not self._schema.has("session_message"):
            return []
        has_seq = self._schema.has("session_message", "seq")
        return read_rows(self._db, self._session, has_seq, self._problems)

    def _united(self, rows: list[Row], revert: Revert | None) -> Talk:
        """The talk where each table may hold turns of its own."""
        messages = self._messages(silent=bool(rows))
        cut = self._cut(revert, messages, rows)
        talk = visible_talk(messages, cut)
        return merged_talk(talk, rows_talk(without_repeats(messages, rows), revert, cut))

    def _said_since(self, rows: list[Row]) -> Talk:
        """What 1.x said in the session after 2.x took it over.

        Those are the messages that 2.x does not know and that are younger than the newest it
        took over; older ones that it does not know were undone there.
        """
        known = row_ids(self._db, self._session)
        messages = self._messages(silent=True)
        newest = max((message.order for message in messages if message.id in known), default=-1)
        later = [item for item in messages if item.id not in known and item.order > newest]
        if not later:
            return Talk()
        if self._has_events:
            gone = read_removals(self._db, self._session, lambda: known).ids
            later = [message for message in later if message.id not in gone]
        revert = self._older_revert()
        return visible_talk(later, self._cut(revert, messages, rows))

    def _messages(self, *, silent: bool) -> list[StoredMessage]:
        return read_messages(self._db, self._session, self._problems, silent=silent)

    def _older_revert(self) -> Revert | None:
        """The undo in the session's row of 1.x, where it has one."""
        if not self._schema.has("session", "revert"):
            return None
        query = "select revert from session where id = ?"
        row = self._db.execute(query, (self._session,)).fetchone()
        return parse_revert(row[0], self._problems) if row else None

    def _cut(
        self, revert: Revert | None, messages: list[StoredMessage], rows: list[Row]
    ) -> Cut | None:
        if revert is None:
            return None
        if self._schema.has("message"):
            order = place_of(self._db, self._session, revert.message)
            if order is not None:
                return Cut(order, revert.message, revert.part)
        for row in rows:
            if row.id == revert.message:
                return Cut(row.order, "")
        present = [(message.id, message.order) for message in messages]
        present += [(row.id, row.order) for row in rows]
        return cut_where_gone(revert, present, self._problems)
