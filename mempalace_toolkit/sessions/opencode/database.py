"""One opencode database of 1.2 to 2.x as a source of sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from mempalace_toolkit.sessions.model import StoreFinding
from mempalace_toolkit.sessions.opencode.connection import Snapshot, beside, file_state
from mempalace_toolkit.sessions.opencode.listing import Listing, list_sessions
from mempalace_toolkit.sessions.opencode.rows import read_messages
from mempalace_toolkit.sessions.opencode.rows_v2 import merged_turns, read_rows, turns_of
from mempalace_toolkit.sessions.opencode.schema import Schema, recognise
from mempalace_toolkit.sessions.opencode.source import Entry, Reading
from mempalace_toolkit.sessions.opencode.talk import (
    Problems,
    findings_of,
    parse_revert,
    visible_turns,
)


class DatabaseSource:
    """A database file, read in one transaction. Opening it recognises its schema."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.findings: tuple[StoreFinding, ...] = ()
        self._file = path.resolve()  # SQLite keeps -wal and -shm beside what a link points to
        self._in_v2: frozenset[str] = frozenset()
        self._snapshot = Snapshot(self._file)
        try:
            self._schema: Schema = self._snapshot.run(lambda db: recognise(db, path))
        except BaseException:
            self._snapshot.close()
            raise

    def entries(self) -> list[Entry]:
        """Every session of the database."""
        listing = self._snapshot.run(lambda db: list_sessions(db, self._schema, str(self.path)))
        self._in_v2 = listing.in_v2
        self.findings = self._complaints(listing)
        return listing.entries

    def read(self, entry: Entry) -> Reading:
        """One session's visible turns."""
        return self._snapshot.run(lambda db: self._read(db, entry))

    def session_ids(self) -> frozenset[str]:
        """The ids of all sessions, old and new."""
        return self._snapshot.run(lambda db: frozenset(self._ids(db)))

    def stamp(self) -> str:
        """Times and sizes of the database and its -wal."""
        return repr((file_state(self._file), file_state(beside(self._file, "-wal"))))

    def close(self) -> None:
        """End the transaction."""
        self._snapshot.close()

    def _ids(self, db: sqlite3.Connection) -> Iterable[str]:
        for table in ("session", "session_v2"):
            if self._schema.has(table):
                for (session,) in db.execute(f"select id from {table}"):  # noqa: S608
                    if isinstance(session, bytes):
                        yield session.decode("utf-8", "replace")

    def _read(self, db: sqlite3.Connection, entry: Entry) -> Reading:
        session = entry.ref.id
        problems: Problems = Problems()
        revert = parse_revert(entry.revert, problems)
        rows = []
        if self._schema.has("session_message"):
            has_seq = self._schema.has("session_message", "seq")
            rows = read_rows(db, session, has_seq, problems)
        if session in self._in_v2:
            turns = turns_of(rows, revert)
        elif self._schema.has("message"):
            messages = read_messages(db, session, problems, silent=bool(rows))
            turns = (
                merged_turns(messages, rows, revert) if rows else (visible_turns(messages, revert))
            )
        else:
            turns = []
        return Reading(turns, findings_of(problems, str(self.path), session))

    def _complaints(self, listing: Listing) -> tuple[StoreFinding, ...]:
        found = []
        if listing.nameless:
            text = f"{listing.nameless}: sessions have no readable id and were left out"
            found.append(StoreFinding("malformed_row", text, str(self.path)))
        if listing.orphans:
            text = f"{listing.orphans}: sessions are gone but messages of theirs are left; not read"
            found.append(StoreFinding("orphan_message", text, str(self.path)))
        return tuple(found)
