"""Which sessions a run takes, and its plan for each of them, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.mining.ledger import Ledger, RecordedPage, RecordedSession
from mempalace_toolkit.mining.plan import SessionPlan, plan_session, skip_session
from mempalace_toolkit.sessions.model import Agent, Session, SessionRef, Store, StoreFinding
from mempalace_toolkit.transcripts.spool import page_names
from mempalace_toolkit.transcripts.wing import mapped_wing, normalise_wing, project_wing


@dataclass(frozen=True, slots=True)
class Scope:
    """The state a selection is applied to.

    `lost` are pages that the spool should hold and does not, by path, with their times.
    `unmined` are sessions with a page that the palace lacks.
    """

    agent: Agent
    now_ms: int
    lost: Mapping[str, int]
    unmined: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user narrowed or redirected. `since_ms` is compared with last activity."""

    wing: str | None = None
    since_ms: int | None = None
    limit: int | None = None
    session: str | None = None
    include_subagents: bool = False
    wings: Mapping[str, str] = field(default_factory=dict)

    @property
    def narrowed(self) -> bool:
        """Whether sessions are left out that a plain run would take."""
        return not (self.since_ms is None and self.limit is None and self.session is None)

    def options(self) -> str:
        """A digest of all that changes what a complete run does."""
        told = repr((self.wing, self.include_subagents, sorted(self.wings.items())))
        return blake2b(told.encode(), digest_size=8).hexdigest()

    def covers(self, ref: SessionRef) -> bool:
        """Whether the session is within what was asked for."""
        if self.session is not None:
            return ref.id == self.session
        return self.since_ms is None or ref.updated >= self.since_ms

    def refuses(self, ref: SessionRef) -> str:
        """Why a session that was not asked for by name is passed by; empty where it is not."""
        if ref.parent and not self.include_subagents and self.session is None:
            return "sub-agent"
        return ""


def plan_sessions(
    store: Store,
    ledger: Ledger,
    selection: Selection,
    scope: Scope,
    findings: list[StoreFinding],
) -> Iterator[SessionPlan]:
    """A plan for each selected session, the oldest first; what is unchanged is not read.

    A session that cannot be read is a finding, and the others go on.
    """
    known = ledger.sessions(scope.agent)
    taken = {session.id for session in known.values() if not session.skipped}
    for ref in _selected(store, selection, known, scope):
        before = known.get(ref.id)
        if reason := selection.refuses(ref):
            yield skip_session(ref, reason, before)
            continue
        if before and _is_unchanged(ref, before, selection, ledger, scope):
            yield SessionPlan("skipped" if before.skipped else "unchanged", before, known=True)
            continue
        try:
            session = _own_copies(store.read_session(ref), before, taken)
        except StoreUnreadableError as error:
            findings.append(StoreFinding(error.kind, error.message, ref.source, ref.id))
            continue
        findings.extend(session.findings)
        pages = ledger.pages(scope.agent, ref.id)
        there = [page for page in pages if page.path not in scope.lost]
        wing = _wing(session.ref, before, selection)
        plan = plan_session(session, wing, before, there, scope.now_ms)
        if plan.action == "unchanged" and ref.id in scope.unmined:
            plan = dataclasses.replace(plan, action="new")
        elif plan.action == "unchanged" and len(there) < len(pages):
            plan = dataclasses.replace(plan, action="rewritten")
        if plan.action != "skipped":
            taken.add(ref.id)
        yield plan


def _selected(
    store: Store, selection: Selection, known: Mapping[str, RecordedSession], scope: Scope
) -> Sequence[SessionRef]:
    refs = [ref for ref in store.find_sessions() if selection.covers(ref)]
    if selection.limit is None:
        return refs
    newest = sorted(refs, key=lambda ref: ref.updated, reverse=True)
    pending = [
        ref
        for ref in newest
        if not selection.refuses(ref)
        and (
            (before := known.get(ref.id)) is None
            or before.change_key != ref.change_key
            or ref.id in scope.unmined
        )
    ]
    chosen = {ref.id for ref in pending[: selection.limit]}
    return [ref for ref in refs if ref.id in chosen]


def _is_unchanged(
    ref: SessionRef,
    before: RecordedSession,
    selection: Selection,
    ledger: Ledger,
    scope: Scope,
) -> bool:
    return (
        before.settled
        and before.change_key == ref.change_key
        and (before.skipped != "" or before.wing == _wing(ref, before, selection))
        and ref.id not in scope.unmined
        and not any(page.path in scope.lost for page in _pages(ledger, ref, scope))
    )


def _pages(ledger: Ledger, ref: SessionRef, scope: Scope) -> Sequence[RecordedPage]:
    return ledger.pages(scope.agent, ref.id) if scope.lost else ()


def _wing(ref: SessionRef, before: RecordedSession | None, selection: Selection) -> str:
    """The wing of a session; one that was placed stays, also when its folder is gone."""
    if selection.wing is not None:
        return normalise_wing(selection.wing)
    mapped = mapped_wing(ref.directory, selection.wings)
    if mapped is not None:
        return mapped
    return before.wing if before else project_wing(ref.directory)


def _own_copies(
    session: Session, before: RecordedSession | None, taken: AbstractSet[str]
) -> Session:
    """The session with its copied turns counted only where the original is taken as well.

    The original may be gone from its store and still be remembered.
    """
    if session.copied and session.copied_from not in taken:
        return dataclasses.replace(session, copied=0, copied_from=None)
    if before and before.copied and not session.copied and before.copied_from in taken:
        kept = min(before.copied, len(session.turns))
        return dataclasses.replace(session, copied=kept, copied_from=before.copied_from)
    return session


def lost_pages(ledger: Ledger, spool: Path) -> dict[str, int]:
    """Pages that should lie in the spool and do not, with their times."""
    lost: dict[str, int] = {}
    for folder, count in ledger.page_counts().items():
        names = page_names(spool / folder)
        if len(names) >= count:
            continue
        for page in ledger.folder_pages(folder):
            if page.path.rpartition("/")[2] not in names:
                lost[page.path] = page.mtime_ms
    return lost
