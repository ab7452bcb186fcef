"""The part of the ledger that knows what each palace has mined of the spool."""

from __future__ import annotations

from collections.abc import Mapping

from mempalace_toolkit.chroma.contents import MinedPage, PageTotals
from mempalace_toolkit.ledger.file import LedgerFile
from mempalace_toolkit.ledger.values import RecordedPage, page_of_row


class MinedRecords(LedgerFile):
    """What palaces hold, and what they lack."""

    def totals(self, palace: str) -> PageTotals | None:
        """What the palace held of the spool when it was last seen."""
        query = "select pages, rows, mark from totals where palace = ?"
        row = self._db.execute(query, [palace]).fetchone()
        return PageTotals(*row) if row else None

    def record_mined(self, palace: str, pages: Mapping[str, MinedPage], totals: PageTotals) -> None:
        """Replace what `palace` is known to hold."""
        self._db.execute("delete from mined where palace = ?", [palace])
        self._db.executemany(
            "insert into mined values(?,?,?,?,?)",
            [
                [palace, path, round(page.mtime * 1000), page.sentinel, page.rows]
                for path, page in pages.items()
                if page.mtime is not None and page.complete
            ],
        )
        self._db.execute(
            "insert or replace into totals values(?,?,?,?)",
            [palace, totals.pages, totals.rows, totals.mark],
        )

    def forget_palace(self, palace: str) -> None:
        """Forget what `palace` was known to hold."""
        self._db.execute("delete from mined where palace = ?", [palace])
        self._db.execute("delete from totals where palace = ?", [palace])

    def mined_in(self, palace: str, folder: str) -> dict[str, int]:
        """Names and times of the pages of a folder that `palace` is known to hold."""
        rows = self._db.execute(
            "select substr(path, length(?1) + 2), mtime_ms from mined"
            " where palace = ?2 and path >= ?1 || '/' and path < ?1 || '0'",
            [folder, palace],
        )
        return dict(rows)

    def unrecorded(self, palace: str) -> dict[str, list[tuple[str, int]]]:
        """Pages that `palace` is known to hold and that are not recorded: a ledger was lost.

        Path and time of each, by its name without the number.
        """
        found: dict[str, list[tuple[str, int]]] = {}
        rows = self._db.execute(
            "select m.path, m.mtime_ms from mined m where m.palace = ? and not m.sentinel"
            " and not exists (select 1 from pages p where p.path = m.path) order by m.path",
            [palace],
        )
        for path, mtime_ms in rows:
            name = str(path).rpartition("/")[2].rpartition("--")[0]
            found.setdefault(name, []).append((path, mtime_ms))
        return found

    def trust_mined(self, palace: str, folder: str) -> None:
        """Take the pages of a folder for mined: for backends that cannot be looked into."""
        self._db.execute(
            "insert or replace into mined select ?, path, mtime_ms, 0, 1 from pages"
            " where folder = ? and not retired",
            [palace, folder],
        )

    def folders_to_mine(self, palace: str) -> dict[str, int]:
        """Folders with pages that `palace` lacks or has in another state, and how many."""
        rows = self._db.execute(
            "select p.folder, count(*) from pages p"
            " left join mined m on m.palace = ? and m.path = p.path"
            " where not p.retired and (m.path is null or m.mtime_ms != p.mtime_ms)"
            " group by p.folder order by p.folder",
            [palace],
        )
        return dict(rows)

    def pages_to_mine(self, palace: str) -> list[tuple[str, str]]:
        """Folder and path of the pages that `palace` lacks or has in another state.

        Those of the session that was active last come first.
        """
        rows = self._db.execute(
            "select p.folder, p.path from pages p"
            " left join mined m on m.palace = ? and m.path = p.path"
            " left join sessions s on s.agent = p.agent and s.id = p.session"
            " where not p.retired and (m.path is null or m.mtime_ms != p.mtime_ms)"
            " order by s.updated desc, p.session, p.number",
            [palace],
        )
        return list(rows)

    def unmined_sessions(self, agent: str, palace: str) -> set[str]:
        """Sessions that have a page which `palace` lacks or has in another state."""
        rows = self._db.execute(
            "select distinct p.session from pages p"
            " left join mined m on m.palace = ? and m.path = p.path"
            " where p.agent = ? and not p.retired and (m.path is null or m.mtime_ms != p.mtime_ms)",
            [palace, agent],
        )
        return {session for (session,) in rows}

    def orphaned_sentinels(self, palace: str) -> list[RecordedPage]:
        """Pages that `palace` took for a duplicate of a page whose drawers it no longer has."""
        rows = self._named(
            "select p.* from pages p join mined m on m.palace = ? and m.path = p.path"
            " where m.sentinel and m.mtime_ms = p.mtime_ms and not p.retired"
            " and not exists (select 1 from pages t join mined n on n.palace = m.palace"
            "   and n.path = t.path where t.digest = p.digest"
            "   and substr(t.folder, instr(t.folder, '/'))"
            "     = substr(p.folder, instr(p.folder, '/'))"
            "   and t.path != p.path and not n.sentinel and n.mtime_ms = t.mtime_ms)",
            [palace],
        )
        return [page_of_row(row) for row in rows]
