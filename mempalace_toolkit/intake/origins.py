"""Which sessions hold the turns that forks copied."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from mempalace_toolkit.intake.session_plan import SessionPlan
from mempalace_toolkit.ledger.records import RecordedSession
from mempalace_toolkit.sessions.model import (
    Session,
)


class Origins:
    """Which sessions hold the turns that forks copied: those taken, now or before.

    A session without turns of its own passes its forks on to the one it was copied from.
    """

    def __init__(self, known: Mapping[str, RecordedSession], listed: AbstractSet[str]) -> None:
        self._listed = listed
        self._taken = {one.id for one in known.values() if not one.skipped}
        self._keeping = {one.id for one in known.values() if one.kept}
        self._passes_on = {
            one.id: one.copied_from for one in known.values() if one.skipped and one.copied
        }

    def _holder(self, session: str | None) -> str | None:
        """The taken session that has what `session` has; None where there is none."""
        for _ in range(len(self._passes_on) + 1):
            if session is None or session in self._taken:
                return session
            session = self._passes_on.get(session)
        return None

    def still_hold(self, before: RecordedSession) -> bool:
        """Whether what was decided about a fork's copied turns is still right."""
        return bool(before.copied) == (self._holder(before.copied_from) is not None)

    def own_part(self, session: Session, before: RecordedSession | None) -> Session:
        """The session with its copied turns left out only where another one holds them.

        An original that is gone from its store, or has lost turns there, and is remembered
        still does.
        """
        start = before.copied if before else 0
        gone = before is not None and (
            before.copied_from not in self._listed or before.copied_from in self._keeping
        )
        if before and session.copied < start and gone and self._holder(before.copied_from):
            kept = min(start, len(session.turns))
            return dataclasses.replace(session, copied=kept, copied_from=before.copied_from)
        if session.copied and self._holder(session.copied_from) is None:
            return dataclasses.replace(session, copied=0)
        return session

    def settle(self, plan: SessionPlan) -> None:
        """Note what became of a session."""
        record = plan.record
        self._taken.discard(record.id)
        self._keeping.discard(record.id)
        self._passes_on.pop(record.id, None)
        if record.kept:
            self._keeping.add(record.id)
        if not record.skipped:
            self._taken.add(record.id)
        elif record.copied:
            self._passes_on[record.id] = record.copied_from
