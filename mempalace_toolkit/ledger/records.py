"""The ledger: what is in the spool, and what each palace is known to have mined of it.

Everything in it can be found again from the stores, the spool and the palace; it exists so
that an unchanged run has nothing to read. A broken ledger is renamed aside, never deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mempalace_toolkit.chroma.contents import MinedPage, PageTotals
from mempalace_toolkit.ledger.file import LedgerFile


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A session as it was last taken.

    `digest` names its first `turns` turns. `settled` is False while its last activity was so
    recent, when it was read, that it may have changed without its change key. `skipped` is
    the reason for which it has no pages, empty where it has. `reader` is the version of the
    rules by which it was read. `kept` counts the turns that its pages hold and its store has
    no more.
    """

    agent: str
    id: str
    label: str
    wing: str
    title: str
    directory: str
    change_key: str
    turns: int
    digest: str
    updated: int
    settled: bool
    copied: int
    copied_from: str | None
    skipped: str
    reader: int
    kept: int


@dataclass(frozen=True, slots=True)
class RecordedPage:
    """A page in the spool; `path` is relative to it, `folder` is its label and wing."""

    path: str
    agent: str
    session: str
    folder: str
    number: int
    digest: str
    mtime_ms: int
    generation: int = 0
    retired: bool = False


class Ledger(LedgerFile):
    """What is recorded in the ledger; `Ledger.open` for a run, `.look` for a dry run."""

    # --- sessions and pages -------------------------------------------------------------

    def sessions(self, agent: str) -> dict[str, RecordedSession]:
        """Every session of `agent` that was ever taken, by its id, the oldest first."""
        rows = self._db.execute("select * from sessions where agent = ? order by updated", [agent])
        return {row[1]: _session(row) for row in rows}

    def present(self, key: str) -> set[str]:
        """The sessions that the last complete run over a store saw in it."""
        rows = self._db.execute("select session from present where key = ?", [key])
        return {row[0] for row in rows}

    def record_present(self, key: str, agent: str, seen: Iterable[str]) -> None:
        """Remember which sessions a store has; others stay remembered as gone from it."""
        self._db.execute("delete from present where key = ?", [key])
        self._db.executemany(
            "insert or ignore into present values(?,?,?)", [[key, agent, one] for one in seen]
        )

    def record_session(self, session: RecordedSession) -> None:
        """Replace what is known of a session."""
        self._db.execute(
            f"insert or replace into sessions values({','.join('?' * 16)})",
            [getattr(session, name) for name in RecordedSession.__slots__],
        )

    def pages(self, agent: str, session: str) -> list[RecordedPage]:
        """The pages of a session that were not retired, in order."""
        rows = self._db.execute(
            "select * from pages where agent = ? and session = ? and not retired order by number",
            [agent, session],
        )
        return [_page(row) for row in rows]

    def record_page(self, page: RecordedPage) -> None:
        """Replace what is known of a page."""
        self._db.execute(
            "insert or replace into pages values(?,?,?,?,?,?,?,?,?)",
            [getattr(page, name) for name in RecordedPage.__slots__],
        )

    def retire_page(self, path: str) -> None:
        """Mark a page as one that the palace must lose."""
        self._db.execute("update pages set retired = 1 where path = ?", [path])

    def retired_pages(self, palace: str) -> dict[str, list[RecordedPage]]:
        """The pages that `palace` must lose, by folder, and those that no palace has."""
        found: dict[str, list[RecordedPage]] = {}
        rows = self._db.execute(
            "select p.* from pages p where p.retired and ("
            " exists (select 1 from mined m where m.palace = ? and m.path = p.path)"
            " or not exists (select 1 from mined m where m.path = p.path)) order by p.path",
            [palace],
        )
        for row in rows:
            page = _page(row)
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
        return {row[0].rpartition("/")[2] for row in rows}

    def session_of(self, path: str) -> str:
        """The session that a page belongs to."""
        found: tuple[str] = self._db.execute(
            "select session from pages where path = ?", [path]
        ).fetchone()
        return found[0]

    def session_behind(self, path: str) -> RecordedSession | None:
        """The session that a page was made of; None where the ledger does not know it."""
        row = self._db.execute(
            "select s.* from pages p join sessions s on s.agent = p.agent and s.id = p.session"
            " where p.path = ?",
            [path],
        ).fetchone()
        return None if row is None else _session(row)

    # --- what a palace has mined --------------------------------------------------------

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
        return {row[0] for row in rows}

    def orphaned_sentinels(self, palace: str) -> list[RecordedPage]:
        """Pages that `palace` took for a duplicate of a page whose drawers it no longer has."""
        rows = self._db.execute(
            "select p.* from pages p join mined m on m.palace = ? and m.path = p.path"
            " where m.sentinel and m.mtime_ms = p.mtime_ms and not p.retired"
            " and not exists (select 1 from pages t join mined n on n.palace = m.palace"
            "   and n.path = t.path where t.digest = p.digest"
            "   and substr(t.folder, instr(t.folder, '/'))"
            "     = substr(p.folder, instr(p.folder, '/'))"
            "   and t.path != p.path and not n.sentinel and n.mtime_ms = t.mtime_ms)",
            [palace],
        )
        return [_page(row) for row in rows]

    # --- stores -------------------------------------------------------------------------

    def signature(self, key: str) -> str | None:
        """The store signature at the end of the last complete run."""
        row = self._db.execute("select signature from stores where key = ?", [key]).fetchone()
        return row[0] if row else None

    def record_signature(self, key: str, agent: str, signature: str) -> None:
        """Remember a store as wholly taken."""
        self._db.execute("insert or replace into stores values(?,?,?)", [key, agent, signature])

    def forget_signatures(self, agent: str) -> None:
        """No store of `agent` counts as wholly taken any more."""
        self._db.execute("delete from stores where agent = ?", [agent])


def _session(row: tuple[object, ...]) -> RecordedSession:
    values = list(row)
    values[10] = bool(values[10])
    return RecordedSession(*values)  # type: ignore[arg-type]


def _page(row: tuple[object, ...]) -> RecordedPage:
    values = list(row)
    values[8] = bool(values[8])
    return RecordedPage(*values)  # type: ignore[arg-type]
