"""Which sessions a run takes, and its plan for each of them, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.intake.held_pages import adopt_pages
from mempalace_toolkit.intake.missing_pages import LostPages
from mempalace_toolkit.intake.origins import Origins
from mempalace_toolkit.intake.plan import count_session, label_of, plan_session, skip_session
from mempalace_toolkit.intake.session_plan import UNDECIDED, SessionPlan
from mempalace_toolkit.ledger.records import Ledger, RecordedPage, RecordedSession
from mempalace_toolkit.sessions.model import (
    MOVED_FOLDER,
    READER_VERSIONS,
    Agent,
    CountsTurns,
    Remembered,
    RemembersNames,
    SessionRef,
    Store,
    StoreFinding,
    is_meant,
)
from mempalace_toolkit.transcripts.render import file_safe
from mempalace_toolkit.transcripts.wing import (
    mapped_wing,
    normalise_wing,
    project_wing,
    standing_folder,
)

SUBAGENT = "sub-agent"
"""Why a session that another one spawned is passed by."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The state a selection is applied to.

    `lost` are pages that are not in `spool` as they should be.
    `unrecorded` are pages of sessions that a lost ledger knew, see Ledger.
    `unmined` are sessions with a page that the palace lacks. `listed` gets the ids of all
    sessions that the store has, whatever is selected of them. `only_shown` tells that nothing is
    to be written: of a session that was never taken the number of turns is enough.
    """

    agent: Agent
    now_ms: int
    spool: Path
    lost: LostPages
    unmined: AbstractSet[str]
    listed: set[str] = field(default_factory=set)
    unrecorded: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    only_shown: bool = False


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

    def untold(self, findings: Sequence[StoreFinding]) -> list[StoreFinding]:
        """The store's findings less those that `wings` has settled."""
        return [
            one
            for one in findings
            if one.kind != MOVED_FOLDER or mapped_wing(one.path, self.wings) is None
        ]

    def covers(self, ref: SessionRef) -> bool:
        """Whether the session is within what was asked for."""
        if self.session is not None:
            return is_meant(ref.id, self.session)
        return self.since_ms is None or ref.updated >= self.since_ms

    def refuses(self, ref: SessionRef) -> str:
        """Why a session that was not asked for by name is passed by; empty where it is not."""
        if ref.parent and not self.include_subagents and self.session is None:
            return SUBAGENT
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
    origins = Origins(known, scope.listed)
    counts = store if scope.only_shown and isinstance(store, CountsTurns) else None
    for ref in _selected(store, selection, known, scope):
        before = known.get(ref.id)
        if reason := selection.refuses(ref):
            yield skip_session(ref, reason, before)
            continue
        if (
            before
            and _is_unchanged(ref, before, selection, ledger, scope)
            and origins.still_hold(before)
        ):
            plan = SessionPlan("skipped" if before.skipped else "unchanged", before, known=True)
            findings.extend(plan.findings(ref.source))
            yield plan
            continue
        strangers = () if before else _strangers(ref, scope)
        try:
            if counts is not None and before is None and not strangers:
                count = counts.count_turns(ref)
                if count is not None:
                    wing = _wing(ref, None, selection)
                    plan = count_session(ref, count, wing, scope.now_ms)
                    origins.settle(plan)
                    yield plan
                    continue
            session = origins.own_part(store.read_session(ref), before)
        except StoreUnreadableError as error:
            text = f"{error.message}; {error.hint}" if error.hint else error.message
            findings.append(StoreFinding(error.kind, text, ref.source, ref.id))
            continue
        findings.extend(session.findings)
        adopted = adopt_pages(scope.spool, strangers, scope.agent, session)
        pages = ledger.pages(scope.agent, ref.id) if before else adopted
        wing = _wing(session.ref, before, selection)
        plan = plan_session(session, wing, before, pages, scope.now_ms, scope.spool)
        lost = frozenset(page.path for page in pages if page.path in scope.lost or page in adopted)
        plan = dataclasses.replace(plan, lost=lost, adopted=tuple(adopted))
        if plan.action == "unchanged" and ref.id in scope.unmined:
            plan = dataclasses.replace(plan, action="new")
        elif plan.action == "unchanged" and lost - plan.sealed:
            plan = dataclasses.replace(plan, action="rewritten")
        findings.extend(plan.findings(ref.source))
        origins.settle(plan)
        yield plan


def _strangers(ref: SessionRef, scope: Scope) -> Sequence[tuple[str, int]]:
    if not scope.unrecorded:
        return ()
    return scope.unrecorded.get(f"{label_of(ref)}--{file_safe(ref.id)}", ())


def _selected(
    store: Store, selection: Selection, known: Mapping[str, RecordedSession], scope: Scope
) -> Sequence[SessionRef]:
    if isinstance(store, RemembersNames):
        store.remember({o.id: Remembered(o.change_key, o.directory) for o in known.values()})
    found = list(store.find_sessions())
    scope.listed.update(ref.id for ref in found)
    refs = [ref for ref in found if selection.covers(ref)]
    if selection.limit is None:
        return refs
    newest = sorted(refs, key=lambda ref: ref.updated, reverse=True)
    pending = [
        ref
        for ref in newest
        if not selection.refuses(ref)
        and (
            (before := known.get(ref.id)) is None
            or not _read_before(ref, before)
            or ref.id in scope.unmined
        )
    ]
    # Where none has anything new, the newest are shown as what they are.
    taken = pending or [ref for ref in newest if not selection.refuses(ref)]
    chosen = {ref.id for ref in taken[: selection.limit]}
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
        and _read_before(ref, before)
        and (before.skipped != "" or before.wing == _wing(ref, before, selection))
        and ref.id not in scope.unmined
        and not any(page.path in scope.lost for page in _pages(ledger, ref, scope))
    )


def _read_before(ref: SessionRef, before: RecordedSession) -> bool:
    """Whether the session was read as it is, by the rules that hold now."""
    return before.change_key == ref.change_key and before.reader == READER_VERSIONS[ref.agent]


def _pages(ledger: Ledger, ref: SessionRef, scope: Scope) -> Sequence[RecordedPage]:
    any_lost = scope.lost.lost or scope.lost.hollow
    return ledger.pages(scope.agent, ref.id) if any_lost else ()


def _wing(ref: SessionRef, before: RecordedSession | None, selection: Selection) -> str:
    """The wing of a session; one that was placed stays, also when its folder is gone."""
    if selection.wing is not None:
        return normalise_wing(selection.wing)
    mapped = mapped_wing(ref.directory, selection.wings)
    if mapped is not None:
        return mapped
    if before is not None and before.wing != UNDECIDED:
        return before.wing
    folder = standing_folder(ref.directory, ref.repository)
    return mapped_wing(folder, selection.wings) or project_wing(folder)
