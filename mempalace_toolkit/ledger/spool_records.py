"""The part of the ledger that knows the sessions that were taken, and their pages in the spool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mempalace_toolkit.ledger.file import LedgerFile
from mempalace_toolkit.ledger.values import (
    RecordedPage,
    RecordedSession,
    page_of_row,
    session_of_row,
)


class SpoolRecords(LedgerFile):
    """Sessions and pages."""

    def sessions(self, agent: str) -> dict[str, RecordedSession]:
        """Every session of `agent` that was ever taken, by its id, the oldest first."""
        rows = self._named("select * from sessions where agent = ? order by updated", [agent])
        return {row["id"]: session_of_row(row) for row in rows}

    def record_session(self, session: RecordedSession) -> None:
        """Replace what is known of a session."""
        self._replace("sessions", session)

    def pages(self, agent: str, session: str) -> list[RecordedPage]:
        """The pages of a session that were not retired, in order."""
        rows = self._named(
            "select * from pages where agent = ? and session = ? and not retired order by number",
            [agent, session],
        )
        return [page_of_row(row) for row in rows]

    def record_page(self, page: RecordedPage) -> None:
        """Replace what is known of a page."""
        self._replace("pages", page)

    def retire_page(self, path: str) -> None:
        """Mark a page as one that the palace must lose."""
        self._db.execute("update pages set retired = 1 where path = ?", [path])

    def retired_pages(self, palace: str) -> dict[str, list[RecordedPage]]:
        """The pages that `palace` must lose, by folder, and those that no palace has."""
        found: dict[str, list[RecordedPage]] = {}
        rows = self._named(
            "select p.* from pages p where p.retired and ("
            " exists (select 1 from mined m where m.palace = ? and m.path = p.path)"
            " or not exists (select 1 from mined m where m.path = p.path)) order by p.path",
            [palace],
        )
        for row in rows:
            page = page_of_row(row)
            found.setdefault(page.folder, []).append(page)
        return found

    def forget_pages(self, palace: str, paths: Sequence[str]) -> None:
        """Note that `palace` lost these retired pages; forget those that no palace has."""
        self._db.executemany(
            "delete from mined where palace = ? and path = ?", [[palace, path] for path in paths]
        )
        self._db.executemany(
            "delete from pages where path = ?1 and retired"
            " and not exists (select 1 from mined m where m.path = ?1)",
            [[path] for path in paths],
        )

    def page_states(self, agent: str) -> Iterator[tuple[str, str, int, bool]]:
        """Folder, name, time and presence of every page of `agent`, folder by folder.

        A page is present while a store still has its session.
        """
        rows = self._db.execute(
            "select p.folder, substr(p.path, length(p.folder) + 2), p.mtime_ms, exists ("
            "   select 1 from present s where s.agent = p.agent and s.session = p.session)"
            " from pages p where p.agent = ? and not p.retired order by p.folder",
            [agent],
        )
        for folder, name, mtime_ms, present in rows:
            yield folder, name, mtime_ms, bool(present)

    def folder_names(self, folder: str) -> set[str]:
        """The names of the pages that belong in a folder."""
        query = "select path from pages where folder = ? and not retired"
        rows = self._db.execute(query, [folder])
        return {path.rpartition("/")[2] for (path,) in rows}

    def session_of(self, path: str) -> str:
        """The session that a page belongs to."""
        query = "select session from pages where path = ?"
        session: str
        (session,) = self._db.execute(query, [path]).fetchone()
        return session

    def session_behind(self, path: str) -> RecordedSession | None:
        """The session that a page was made of; None where the ledger does not know it."""
        rows = self._named(
            "select s.* from pages p join sessions s on s.agent = p.agent and s.id = p.session"
            " where p.path = ?",
            [path],
        )
        return next(map(session_of_row, rows), None)
