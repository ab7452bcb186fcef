"""The ledger: what is in the spool, and what each palace is known to have mined of it.

Everything in it can be found again from the stores, the spool and the palace; it exists so
that an unchanged run has nothing to read. A broken ledger is renamed aside, never deleted.
"""

from __future__ import annotations

from collections.abc import Iterable

from mempalace_toolkit.ledger.mined_records import MinedRecords
from mempalace_toolkit.ledger.spool_records import SpoolRecords
from mempalace_toolkit.ledger.values import RecordedPage, RecordedSession

__all__ = ["Ledger", "RecordedPage", "RecordedSession"]


class Ledger(SpoolRecords, MinedRecords):
    """What is recorded in the ledger; `Ledger.open` for a run, `.look` for a dry run."""

    def present(self, key: str) -> set[str]:
        """The sessions that the last complete run over a store saw in it."""
        rows = self._db.execute("select session from present where key = ?", [key])
        return {session for (session,) in rows}

    def record_present(self, key: str, agent: str, seen: Iterable[str]) -> None:
        """Remember which sessions a store has; others stay remembered as gone from it."""
        self._db.execute("delete from present where key = ?", [key])
        self._db.executemany(
            "insert or ignore into present values(?,?,?)", [[key, agent, one] for one in seen]
        )

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
