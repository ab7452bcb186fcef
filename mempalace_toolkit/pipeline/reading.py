"""The first half of a run: what changed in the store, brought into spool and ledger."""

from __future__ import annotations

import dataclasses

from mempalace_toolkit.amounts import count_of
from mempalace_toolkit.errors import StoreUnreadableError, UnknownSchemaError
from mempalace_toolkit.intake.missing_pages import give_times_back, lost_pages
from mempalace_toolkit.intake.selection import SUBAGENT, Scope, plan_sessions
from mempalace_toolkit.intake.session_plan import Action, SessionPlan
from mempalace_toolkit.intake.writing import PageWriter
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.filing import key_of
from mempalace_toolkit.pipeline.request import RunRequest, signed
from mempalace_toolkit.report.values import Observer, RunReport
from mempalace_toolkit.sessions.model import Store

UNREAD = {StoreUnreadableError.kind, UnknownSchemaError.kind}
"""Findings of sessions that could not be read: they are tried again by the next run."""


def scope_of(ledger: Ledger, request: RunRequest, *, only_shown: bool = False) -> Scope:
    return Scope(
        agent=request.agent,
        now_ms=request.target.now_ms,
        spool=request.target.spool,
        lost=lost_pages(ledger, request.target.spool, request.agent),
        unmined=ledger.unmined_sessions(request.agent, key_of(request.target.palace)),
        unrecorded=ledger.unrecorded(key_of(request.target.palace)),
        only_shown=only_shown,
    )


def nothing_changed(ledger: Ledger, store: Store, request: RunRequest) -> bool:
    """Whether store, spool and palace are all as the last complete run left them."""
    key, signature = signed(store, request)
    palace = key_of(request.target.palace)
    return (
        not request.selection.narrowed
        and ledger.signature(key) == signature
        and not ledger.unmined_sessions(request.agent, palace)
        and not ledger.retired_pages(palace)
        and not lost_pages(ledger, request.target.spool, request.agent).any_to_write()
    )


def note_known(ledger: Ledger, store: Store, request: RunRequest, report: RunReport) -> None:
    """The sessions that are there, as the last complete run over this store left them."""
    present = ledger.present(signed(store, request)[0])
    source = str(next(iter(store.places), ""))
    for known in ledger.sessions(request.agent).values():
        if known.id in present:
            if known.label != request.agent and not request.selection.include_subagents:
                known = dataclasses.replace(known, skipped=SUBAGENT)
            action: Action = "skipped" if known.skipped else "unchanged"
            plan = SessionPlan(action, known)
            report.note(plan)
            report.findings.extend(plan.findings(source))


def write_pages(
    store: Store, ledger: Ledger, request: RunRequest, observer: Observer, report: RunReport
) -> None:
    """Read what changed, and bring the spool and the ledger up to it."""
    observer.stage("reading sessions")
    with ledger.writing():
        ledger.forget_signatures(request.agent)
    scope = scope_of(ledger, request)
    writer = PageWriter(ledger, request.target.spool)
    for plan in plan_sessions(store, ledger, request.selection, scope, report.findings):
        report.note(plan)
        observer.advance()
        writer.write(plan)
    writer.record()
    note_store(report, store, request)
    if not request.selection.narrowed:
        with ledger.writing():
            ledger.record_present(signed(store, request)[0], request.agent, scope.listed)
    if scope.lost.lost:
        complete = report.error is None and not request.selection.narrowed
        listed = scope.listed if complete else None
        give_times_back(ledger, request.target.spool, request.agent, listed)


def note_pending(ledger: Ledger, request: RunRequest, report: RunReport) -> None:
    """Pages that an earlier run saw undone, and that this palace has not lost yet."""
    pending = ledger.retired_pages(key_of(request.target.palace))
    report.withdrawn += sum(map(len, pending.values()))


def note_store(report: RunReport, store: Store, request: RunRequest) -> None:
    """What was wrong with the store: whatever could not be read ends the run with status 66."""
    report.findings += request.selection.untold(store.findings)
    report.error = next(iter(store.failures), None)
    unread = [one for one in report.findings if one.kind in UNREAD and one.session]
    if unread and report.error is None:
        where = f" in {unread[0].path}" if unread[0].path else ""
        report.error = StoreUnreadableError(
            f"{count_of(len(unread), 'session')}{where} could not be read; the others were taken",
            f"the first: {unread[0].message}; repair the store, then run again",
        )


def left_unread(report: RunReport) -> bool:
    return any(finding.kind in UNREAD for finding in report.findings)
