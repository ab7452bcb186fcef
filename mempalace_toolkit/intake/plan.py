"""What a run would do with one session: printable, the same for a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from mempalace_toolkit.intake.held_pages import Held, holds_all, read_held
from mempalace_toolkit.intake.kept_turns import Merged, Reading, first_held, merge
from mempalace_toolkit.intake.session_plan import UNDECIDED, UNSETTLED_MS, Action, SessionPlan
from mempalace_toolkit.ledger.records import RecordedPage, RecordedSession
from mempalace_toolkit.sessions.model import (
    READER_VERSIONS,
    Role,
    Session,
    SessionRef,
    Turn,
    TurnCount,
)
from mempalace_toolkit.transcripts.render import (
    Cut,
    cut_talk,
    session_digest,
)


def label_of(ref: SessionRef) -> str:
    """The agent's name on pages and drawers; sub-agents are told apart."""
    return f"{ref.agent}-subagent" if ref.parent else ref.agent


def plan_session(
    session: Session,
    wing: str,
    known: RecordedSession | None,
    pages: Sequence[RecordedPage],
    now_ms: int,
    spool: Path,
) -> SessionPlan:
    """Compare a session as read with the ledger's record of it.

    What its `pages` in the spool hold and the reading lacks stays, unless the store marks it as
    undone. Copied turns are left to the session they were copied from: `session.copied` must be
    0 where that one is neither taken now nor remembered.
    """
    start = _own_start(session)
    turns = session.turns[start:]
    held, merged = Held(), Merged(turns, 0, {})
    if not holds_all(turns, pages, known.turns if known else 0):
        held = read_held(spool, pages, session.turns)
        if known and known.copied:  # its pages hold none of what was copied
            start = first_held(session.turns[:start], held.turns)
        mended = known is None or known.reader != READER_VERSIONS[session.ref.agent]
        reading = Reading(session.turns[start:], session.turns[:start], session.withdrawn, mended)
        merged = merge(reading, held.turns)
    cuts = tuple(cut_talk(merged.turns))
    record = _record(session, cuts, wing, now_ms, merged.kept, bool(held.sealed))
    action: Action = "skipped" if record.skipped else _action(record, known, merged.turns)
    if merged.withdrawn:
        action = "withdrawn"
    return SessionPlan(
        action,
        record,
        cuts,
        tuple(pages),
        sealed=held.sealed,
        known=record == known,
        withdrawn=tuple(merged.withdrawn.values()),
        withdrawn_pages=len({held.pages[position] for position in merged.withdrawn}),
    )


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
        reader=0,
        kept=0,
    )
    taken = known is not None and not known.skipped
    return SessionPlan("skipped", record, known=taken or record == known)


def count_session(ref: SessionRef, count: TurnCount, wing: str, now_ms: int) -> SessionPlan:
    """What a session is that was never taken, as far as the number of its turns tells.

    Enough to show, not to write: it has no digest and no pages.
    """
    counted: dict[Role, int] = {"user": count.user, "assistant": count.assistant}
    updated = ref.updated if count.updated is None else count.updated
    record = RecordedSession(
        agent=ref.agent,
        id=ref.id,
        label=label_of(ref),
        wing=wing,
        title=ref.title if count.title is None else count.title,
        directory=ref.directory,
        change_key=ref.change_key,
        turns=count.user + count.assistant,
        digest="",
        updated=updated,
        settled=updated < now_ms - UNSETTLED_MS,
        copied=0,
        copied_from=None,
        skipped=_unqualified({role for role in counted if counted[role]}),
        reader=READER_VERSIONS[ref.agent],
        kept=0,
    )
    return SessionPlan("skipped" if record.skipped else "new", record, counted=count)


def _own_start(session: Session) -> int:
    """Where a session's own turns begin: an answer of its own keeps the copied question."""
    start = session.copied
    while 0 < start < len(session.turns) and session.turns[start].role == "assistant":
        start -= 1
    return start


def _record(
    session: Session, cuts: Sequence[Cut], wing: str, now_ms: int, kept: int, sealed: bool
) -> RecordedSession:
    ref = session.ref
    turns = [turn for cut in cuts for turn in cut.turns]
    roles = {turn.role for turn in turns}
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
        skipped="" if sealed or kept else _unqualified(roles, session.copied),
        reader=READER_VERSIONS[ref.agent],
        kept=kept,
    )


def _unqualified(roles: AbstractSet[Role], copied: int = 0) -> str:
    """Why a session whose own turns are of these roles is not mined; empty where it is."""
    if not roles and copied:
        return "every turn is also in the session that it was forked from"
    if "user" not in roles:
        return "no visible prompt"
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
