"""One opencode database of 1.2 to 2.x as a source of sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import StoreFinding, TurnCount
from mempalace_toolkit.sessions.opencode.connection import (
    Snapshot,
    beside,
    unlisted,
)
from mempalace_toolkit.sessions.opencode.counting import count_rows
from mempalace_toolkit.sessions.opencode.damage import read_rows_by_id
from mempalace_toolkit.sessions.opencode.decoding import millis_of, text_of
from mempalace_toolkit.sessions.opencode.listing import Listing, list_sessions
from mempalace_toolkit.sessions.opencode.messages import Problems, findings_of
from mempalace_toolkit.sessions.opencode.private_copy import file_state
from mempalace_toolkit.sessions.opencode.projects import moved_finding
from mempalace_toolkit.sessions.opencode.reading import SessionReader
from mempalace_toolkit.sessions.opencode.removed import is_indexed
from mempalace_toolkit.sessions.opencode.schema import Schema, recognise
from mempalace_toolkit.sessions.opencode.source import Entry, Reading
from mempalace_toolkit.sessions.opencode.undo import NO_REVERT, parse_revert


class DatabaseSource:
    """A database file, read in one transaction. Opening it recognises its schema."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.findings: tuple[StoreFinding, ...] = ()
        self.damage: tuple[StoreUnreadableError, ...] = ()
        self._file = path.resolve()  # SQLite keeps -wal and -shm beside what a link points to
        self._in_v2: frozenset[str] = frozenset()
        self._snapshot = Snapshot(self._file)
        try:
            self._schema: Schema = self._snapshot.run(lambda db: recognise(db, path))
            self._has_events = self._snapshot.run(self._finds_events)
        except BaseException:
            self._snapshot.close()
            raise

    def entries(self) -> list[Entry]:
        """Every session of the database."""
        listing = self._snapshot.run(lambda db: list_sessions(db, self._schema, str(self.path)))
        self._in_v2 = listing.in_v2
        self.findings = self._complaints(listing)
        if not (listing.entries or listing.is_complete):
            raise unlisted(self.path)
        self.damage = () if listing.is_complete else (unlisted(self.path),)
        return listing.entries

    def read(self, entry: Entry) -> Reading:
        """One session's visible turns."""
        return self._snapshot.run(lambda db: self._read(db, entry))

    def count(self, entry: Entry) -> TurnCount | None:
        """How many turns a session has; None where it has to be read."""
        session = entry.ref.id
        if session in self._in_v2 or entry.revert not in NO_REVERT:
            return None
        return self._snapshot.run(lambda db: count_rows(db, self._schema, session))

    def session_ids(self) -> frozenset[str]:
        """The ids of all sessions, old and new."""
        return self._snapshot.run(lambda db: frozenset(self._ids(db)))

    def project_ids(self) -> frozenset[str] | None:
        """The projects it knows; None where it has no table of them."""
        if not self._schema.has("project"):
            return None
        rows = self._snapshot.run(lambda db: db.execute("select id from project").fetchall())
        return frozenset(text_of(row[0]) or "" for row in rows)

    def message_times(self, session: str) -> dict[str, int]:
        """The ids of a session's messages, old and new, with the times of their rows."""
        rows = self._messages("id, time_created", session)  # both are in the index
        return {text_of(row[0]) or "": millis_of(row[1]) for row in rows}

    def message_changes(self, session: str) -> list[tuple[str, int, int]]:
        """The same with the times of their last change."""
        rows = self._messages("id, time_created, time_updated", session)
        return [(text_of(row[0]) or "", millis_of(row[1]), millis_of(row[2])) for row in rows]

    def _messages(self, columns: str, session: str) -> list[tuple[object, ...]]:
        found = []
        for table in ("message", "session_message"):
            if self._schema.has(table):
                query = f"select {columns} from {table} where session_id = ?"  # noqa: S608
                found += self._snapshot.run(partial(_fetched, query, session))
        return found

    def stamp(self) -> str:
        """Times and sizes of the database and its -wal."""
        return repr((file_state(self._file), file_state(beside(self._file, "-wal"))))

    def close(self) -> None:
        """End the transaction."""
        self._snapshot.close()

    def _finds_events(self, db: sqlite3.Connection) -> bool:
        columns = ("aggregate_id", "type", "seq", "data")
        return all(self._schema.has("event", name) for name in columns) and is_indexed(db)

    def _ids(self, db: sqlite3.Connection) -> Iterable[str]:
        for table in ("session", "session_v2"):
            if self._schema.has(table):
                rows = read_rows_by_id(db, "id", table)
                for session in (*rows.lost, *(row[0] for row in rows.found)):
                    if isinstance(session, bytes):
                        yield session.decode("utf-8", "replace")

    def _read(self, db: sqlite3.Connection, entry: Entry) -> Reading:
        session = entry.ref.id
        problems: Problems = Problems()
        reader = SessionReader(db, self._schema, session, problems, has_events=self._has_events)
        talk = reader.talk(parse_revert(entry.revert, problems), session in self._in_v2)
        return Reading(talk.turns, findings_of(problems, str(self.path), session), talk.withdrawn)

    def _complaints(self, listing: Listing) -> tuple[StoreFinding, ...]:
        found = []
        if listing.nameless:
            text = f"{listing.nameless}: sessions have no readable id and were left out"
            found.append(StoreFinding("malformed_row", text, str(self.path)))
        if listing.orphans:
            text = f"{listing.orphans}: sessions are gone but messages of theirs are left; not read"
            found.append(StoreFinding("orphan_message", text, str(self.path)))
        found += [moved_finding(moved) for moved in listing.moved]
        text = "the session's row lies in a damaged page of the database; it was left out"
        found += [
            StoreFinding(StoreUnreadableError.kind, text, str(self.path), session)
            for session in listing.lost
        ]
        return tuple(found)


def _fetched(query: str, value: str, db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute(query, (value,)).fetchall()
