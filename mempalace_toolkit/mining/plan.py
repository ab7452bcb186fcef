"""What a run would do with one session: pure, printable, the same for a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mempalace_toolkit.mining.ledger import RecordedPage, RecordedSession
from mempalace_toolkit.sessions.model import Session, SessionRef, Turn
from mempalace_toolkit.transcripts.render import (
    Cut,
    Page,
    PageHeader,
    cut_talk,
    page_name,
    render_page,
    session_digest,
)

Action = Literal["new", "grown", "rewritten", "unchanged", "skipped"]

UNDECIDED = "-"
"""The wing of a session that was passed by unread: it has none yet."""

UNSETTLED_MS = 24 * 3600 * 1000
"""How long after its last activity a session is read again whatever its change key says: a
message that is still streaming reaches the store without moving the session's time."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What becomes of one session, and the record to keep of it.

    `cuts` are its own turns page by page. `pages` are those it should have in the spool, of
    which `lost` are not there as they should be. `known` tells that nothing about it is to be
    recorded.
    """

    action: Action
    record: RecordedSession
    cuts: tuple[Cut, ...] = ()
    pages: tuple[RecordedPage, ...] = ()
    lost: frozenset[str] = frozenset()
    known: bool = False

    @property
    def reason(self) -> str:
        """Why it is skipped; empty otherwise."""
        return self.record.skipped


@dataclass(frozen=True, slots=True)
class PageChanges:
    """Pages to write, each with its record, and paths of pages to retire."""

    write: tuple[tuple[Page, RecordedPage], ...] = ()
    retire: tuple[str, ...] = ()


def label_of(ref: SessionRef) -> str:
    """The agent's name on pages and drawers; sub-agents are told apart."""
    return f"{ref.agent}-subagent" if ref.parent else ref.agent


def plan_session(
    session: Session,
    wing: str,
    known: RecordedSession | None,
    pages: Sequence[RecordedPage],
    now_ms: int,
) -> SessionPlan:
    """Compare a session as read with the ledger's record of it.

    Copied turns are left to the session they were copied from: `session.copied` must be 0
    where that one is neither taken now nor remembered. `pages` are those in the spool.
    """
    turns = session.turns[_own_start(session) :]
    cuts = tuple(cut_talk(turns))
    record = _record(session, cuts, wing, now_ms)
    action: Action = "skipped" if record.skipped else _action(record, known, turns)
    return SessionPlan(action, record, cuts, tuple(pages), known=record == known)


def skip_session(ref: SessionRef, reason: str, known: RecordedSession | None) -> SessionPlan:
    """A session that is passed by unread.

    Its record has no change key, so that it is read when it is no longer passed by; the
    record of one that was taken before stays.
    """
    record = RecordedSession(
        agent=ref.agent,
        id=ref.id,
        label=label_of(ref),
        wing=UNDECIDED,
        title=ref.title,
        directory=ref.directory,
        change_key="",
        turns=0,
        digest="",
        updated=ref.updated,
        settled=False,
        copied=0,
        copied_from=None,
        skipped=reason,
    )
    taken = known is not None and not known.skipped
    return SessionPlan("skipped", record, known=taken or record == known)


def plan_pages(plan: SessionPlan) -> PageChanges:
    """Which pages of the session are to be written, and which the palace must lose."""
    record = plan.record
    before = {page.path: page for page in plan.pages}
    write = []
    if not record.skipped:
        folder = f"{record.label}/{record.wing}"
        header = PageHeader(record.id, record.directory, record.label)
        for number, cut in enumerate(plan.cuts, 1):
            path = f"{folder}/{page_name(record.label, record.id, number)}"
            old = before.pop(path, None)
            if old is None or old.digest != cut.digest or path in plan.lost:
                page = render_page(header, number, cut)
                write.append((page, _recorded_page(page, path, record)))
    return PageChanges(tuple(write), tuple(before))


def _own_start(session: Session) -> int:
    """Where a session's own turns begin: an answer of its own keeps the copied question."""
    start = session.copied
    while 0 < start < len(session.turns) and session.turns[start].role == "assistant":
        start -= 1
    return start


def _record(session: Session, cuts: Sequence[Cut], wing: str, now_ms: int) -> RecordedSession:
    ref = session.ref
    turns = [turn for cut in cuts for turn in cut.turns]
    return RecordedSession(
        agent=ref.agent,
        id=ref.id,
        label=label_of(ref),
        wing=wing,
        title=ref.title,
        directory=ref.directory,
        change_key=ref.change_key,
        turns=len(turns),
        digest=session_digest(cuts),
        updated=ref.updated,
        settled=ref.updated < now_ms - UNSETTLED_MS,
        copied=session.copied,
        copied_from=session.copied_from,
        skipped=_unqualified(session, turns),
    )


def _unqualified(session: Session, turns: Sequence[Turn]) -> str:
    """Why a session is not mined; empty where it is."""
    roles = {turn.role for turn in turns}
    if not turns and session.copied:
        return "all of it stands in the session it was forked from"
    if "user" not in roles:
        return "nothing visible was asked"
    if "assistant" not in roles:
        return "no visible answer"
    return ""


def _action(
    record: RecordedSession, known: RecordedSession | None, turns: Sequence[Turn]
) -> Action:
    if known is None or known.skipped:
        return "new"
    if known.digest == record.digest:
        return "unchanged" if known.wing == record.wing else "rewritten"
    if (
        known.turns < record.turns
        and session_digest(cut_talk(turns[: known.turns])) == known.digest
    ):
        return "grown"
    return "rewritten"


def _recorded_page(page: Page, path: str, record: RecordedSession) -> RecordedPage:
    return RecordedPage(
        path=path,
        agent=record.agent,
        session=record.id,
        folder=path.rpartition("/")[0],
        number=page.number,
        digest=page.digest,
        mtime_ms=page.mtime_ms,
    )
