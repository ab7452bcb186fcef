"""What a run would do with one session, as a value: printable, the same for a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mempalace_toolkit.amounts import count_of
from mempalace_toolkit.intake.kept_turns import told_reasons
from mempalace_toolkit.ledger.records import RecordedPage, RecordedSession
from mempalace_toolkit.sessions.model import (
    StoreFinding,
    TurnCount,
)
from mempalace_toolkit.transcripts.render import (
    Cut,
)

Action = Literal["new", "grown", "rewritten", "withdrawn", "unchanged", "skipped"]

UNDECIDED = "-"
"""The wing of a session that was passed by unread: it has none yet."""

UNSETTLED_MS = 24 * 3600 * 1000
"""How long after its last activity a session is read again whatever its change key says: a
message that is still streaming reaches the store without moving the session's time."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What becomes of one session, and the record to keep of it.

    `cuts` are its own turns page by page. `pages` are those it should have in the spool, of
    which `lost` are not there as they should be, and `sealed` are left alone, because what
    they say can be told from nowhere. `known` tells that nothing about it is to be recorded.
    `adopted` are those of `pages` that the palace holds and a lost ledger knew.
    `counted` is all that is known of the turns of one that was only counted.
    `withdrawn` are the reasons for which turns leave, one a turn, off `withdrawn_pages` pages.
    """

    action: Action
    record: RecordedSession
    cuts: tuple[Cut, ...] = ()
    pages: tuple[RecordedPage, ...] = ()
    lost: frozenset[str] = frozenset()
    sealed: frozenset[str] = frozenset()
    known: bool = False
    adopted: tuple[RecordedPage, ...] = ()
    withdrawn: tuple[str, ...] = ()
    withdrawn_pages: int = 0
    counted: TurnCount | None = None

    @property
    def reason(self) -> str:
        """Why talk of it leaves, or why it is skipped; empty otherwise."""
        return told_reasons(self.withdrawn) if self.withdrawn else self.record.skipped

    def findings(self, source: str) -> tuple[StoreFinding, ...]:
        """What a person should know of talk that stays though the store, `source`, lost it."""
        told = []
        if self.record.kept:
            told.append(("turns_kept", f"{count_of(self.record.kept, 'turn')} {_KEPT}"))
        if self.sealed:
            told.append(("pages_kept", f"{count_of(len(self.sealed), 'page')} {_SEALED}"))
        return tuple(StoreFinding(kind, text, source, self.record.id) for kind, text in told)


_KEPT = (
    "of earlier runs: missing from the store, where nothing marks this as an undo, so it stays"
    " in the palace; if the store was damaged or replaced, restore it from its backup"
)

_SEALED = (
    "left in the palace unchanged, because neither the spool nor the store has the text any"
    " more; if the store was damaged or replaced, restore it from its backup"
)
