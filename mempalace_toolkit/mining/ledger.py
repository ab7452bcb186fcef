"""The ledger: what is in the spool, and what each palace is known to have mined of it.

Everything in it can be found again from the stores, the spool and the palace; it exists so
that an unchanged run has nothing to read. A broken ledger is renamed aside, never deleted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mempalace_toolkit.errors import WriteUndoneError
from mempalace_toolkit.files import private_folder
from mempalace_toolkit.palace.drawers import MinedPage

_VERSION = 1
_SCHEMA = """
create table sessions(
  agent text, id text, label text, wing text, title text, directory text, change_key text,
  turns int, digest text, updated int, settled int, copied int, copied_from text, skipped text,
  present int default 1,
  primary key(agent, id)) without rowid;
create table pages(
  path text primary key, agent text, session text, folder text, number int, digest text,
  mtime_ms int, generation int, retired int) without rowid;
create index pages_session on pages(agent, session);
create index pages_digest on pages(folder, digest);
create table mined(palace text, path text, mtime_ms int, sentinel int, rows int,
  primary key(palace, path)) without rowid;
create table totals(palace text primary key, pages int, rows int) without rowid;
create table stores(key text primary key, signature text) without rowid;
"""


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A session as it was last taken.

    `digest` names its first `turns` turns. `settled` is False while its last activity was so
    recent, when it was read, that it may have changed without its change key. `skipped` is
    the reason for which it has no pages, empty where it has.
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


class Ledger:
    """The open ledger; a context manager. `Ledger.open` for a run, `.look` for a dry run."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, file: Path, aside: str) -> Self:
        """The ledger at `file`, made where there is none.

        One that SQLite cannot read, or of another version, is renamed to end in `aside`.
        """
        private_folder(file.parent)
        try:
            file.touch(mode=0o600)
            try:
                return cls(_connect(file))
            except sqlite3.DatabaseError:
                file.rename(file.with_name(f"{file.name}.{aside}"))
                file.touch(mode=0o600)
                return cls(_connect(file))
        except (OSError, sqlite3.Error) as error:
            raise _undone(error, file) from error

    @classmethod
    def look(cls, file: Path) -> Self:
        """A copy in memory of the ledger at `file`; an empty one where it is missing or broken.

        What is recorded in it is forgotten with it.
        """
        copy = sqlite3.connect(":memory:", isolation_level=None)
        with suppress(sqlite3.Error):
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as original:
                original.backup(copy)
            if copy.execute("pragma user_version").fetchone()[0] == _VERSION:
                return cls(copy)
        copy.close()
        empty = sqlite3.connect(":memory:", isolation_level=None)
        empty.executescript(_SCHEMA)
        return cls(empty)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All or nothing: what is recorded in this block. Raises WriteUndoneError."""
        try:
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")
        except sqlite3.Error as error:
            raise _undone(error, None) from error

    # --- sessions and pages -------------------------------------------------------------

    def sessions(self, agent: str) -> dict[str, RecordedSession]:
        """Every session of `agent` that was ever taken, by its id, the oldest first."""
        rows = self._db.execute("select * from sessions where agent = ? order by updated", [agent])
        return {row[1]: _session(row[:14]) for row in rows}

    def present(self, agent: str) -> set[str]:
        """The sessions that the last complete run saw in the store."""
        rows = self._db.execute("select id from sessions where agent = ? and present", [agent])
        return {row[0] for row in rows}

    def record_present(self, agent: str, seen: Iterable[str]) -> None:
        """Remember which sessions the store still has; the others stay remembered as gone."""
        self._db.execute("update sessions set present = 0 where agent = ?", [agent])
        self._db.executemany(
            "update sessions set present = 1 where agent = ? and id = ?",
            [[agent, session] for session in seen],
        )

    def record_session(self, session: RecordedSession) -> None:
        """Replace what is known of a session."""
        self._db.execute(
            f"insert or replace into sessions values({'?,' * 14} 1)",
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

    def retired_pages(self) -> dict[str, list[RecordedPage]]:
        """The pages that palaces must lose, by folder."""
        found: dict[str, list[RecordedPage]] = {}
        for row in self._db.execute("select * from pages where retired order by path"):
            page = _page(row)
            found.setdefault(page.folder, []).append(page)
        return found

    def forget_pages(self, paths: Iterable[str]) -> None:
        """Drop retired pages that are gone from spool and palace."""
        self._db.executemany(
            "delete from pages where path = ? and retired", [[path] for path in paths]
        )

    def page_counts(self) -> dict[str, int]:
        """How many pages each folder of the spool should hold, retired ones included."""
        return dict(self._db.execute("select folder, count(*) from pages group by folder"))

    def folder_pages(self, folder: str) -> list[RecordedPage]:
        """The pages of one folder that were not retired."""
        rows = self._db.execute("select * from pages where folder = ? and not retired", [folder])
        return [_page(row) for row in rows]

    # --- what a palace has mined --------------------------------------------------------

    def totals(self, palace: str) -> tuple[int, int] | None:
        """Pages and rows of the palace when it was last seen."""
        row = self._db.execute("select pages, rows from totals where palace = ?", [palace])
        found: tuple[int, int] | None = row.fetchone()
        return found

    def record_mined(
        self, palace: str, pages: dict[str, MinedPage], totals: tuple[int, int]
    ) -> None:
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
        self._db.execute("insert or replace into totals values(?,?,?)", [palace, *totals])

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
            "   and n.path = t.path where t.folder = p.folder and t.digest = p.digest"
            "   and t.path != p.path and not n.sentinel and n.mtime_ms = t.mtime_ms)",
            [palace],
        )
        return [_page(row) for row in rows]

    # --- stores -------------------------------------------------------------------------

    def signature(self, key: str) -> str | None:
        """The store signature at the end of the last complete run."""
        row = self._db.execute("select signature from stores where key = ?", [key]).fetchone()
        return row[0] if row else None

    def record_signature(self, key: str, signature: str) -> None:
        """Remember a store as wholly taken."""
        self._db.execute("insert or replace into stores values(?,?)", [key, signature])


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, timeout=30)
    version = connection.execute("pragma user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"begin;{_SCHEMA}pragma user_version = {_VERSION};commit;")
    elif version != _VERSION:
        connection.close()
        raise sqlite3.DatabaseError(f"ledger version {version}")
    return connection


def _session(row: tuple[object, ...]) -> RecordedSession:
    values = list(row)
    values[10] = bool(values[10])
    return RecordedSession(*values)  # type: ignore[arg-type]


def _page(row: tuple[object, ...]) -> RecordedPage:
    values = list(row)
    values[8] = bool(values[8])
    return RecordedPage(*values)  # type: ignore[arg-type]


def _undone(error: Exception, file: Path | None) -> WriteUndoneError:
    where = f" {file}" if file else ""
    return WriteUndoneError(
        f"the ledger{where} cannot be written: {error}",
        "free some space or mend the permissions, then run again: nothing was lost",
    )
