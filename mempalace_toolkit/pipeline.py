"""The one way through: store, sessions, pages, palace, report. Only this composes stages.

`survey` plans and writes nothing; `run` does what `survey` shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mempalace_toolkit import __version__
from mempalace_toolkit.errors import (
    MempalaceError,
    PalaceBusyError,
    StoreUnreadableError,
    ToolkitError,
    UnknownSchemaError,
)
from mempalace_toolkit.files import private_folder
from mempalace_toolkit.mining import filing as steps
from mempalace_toolkit.mining.filing import Filing
from mempalace_toolkit.mining.ledger import Ledger, RecordedPage, RecordedSession
from mempalace_toolkit.mining.mempalace import ChildSetting, JobResult, find_mempalace
from mempalace_toolkit.mining.plan import PageChanges, SessionPlan, plan_pages
from mempalace_toolkit.mining.selection import Scope, Selection, lost_pages, plan_sessions
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.palace.drawers import count_drawers, filed_since, roll_back_journal
from mempalace_toolkit.palace.index import check_index
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.lock import mempalace_holder, palace_lock
from mempalace_toolkit.report import Observer, RunReport, SessionLine, WingLine
from mempalace_toolkit.sessions.model import Agent, Store
from mempalace_toolkit.transcripts import spool as spool_files

Recording = tuple[RecordedSession, Sequence[RecordedPage], Sequence[str]]
"""A session's record, the pages that were written, the paths of those to retire."""

UNREAD = {StoreUnreadableError.kind, UnknownSchemaError.kind}
"""Findings of sessions that could not be read: they are tried again by the next run."""

BATCH = 200
"""Sessions whose pages are flushed and recorded together."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything a run needs to know. `now_ms` is the time it counts as happening at."""

    command: str
    agent: Agent
    palace: PalaceLocation
    data: Path
    home: Path
    model: ModelRequest
    environment: Mapping[str, str]
    now_ms: int
    selection: Selection = field(default_factory=Selection)
    mempalace: str | None = None
    wait: float = 60.0
    stall: float = 900.0

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.data / "ledger.sqlite3"

    @property
    def spool(self) -> Path:
        """The folder of pages."""
        return self.data / "spool"


def signed(store: Store, request: RunRequest) -> tuple[str, str]:
    """What is taken and how (another option is another key), and the state it is in."""
    places = ":".join(str(place) for place in store.places)
    key = f"{request.agent}|{request.selection.options()}|{places}"
    return key, f"{store.signature()}|{__version__}"


def survey(store: Store, request: RunRequest) -> RunReport:
    """What a run would do with every session. Writes nothing anywhere."""
    report = _new_report(store, request)
    palace = request.palace
    with _timed(report, "read"), Ledger.look(request.ledger) as ledger:
        if not steps.see_palace(ledger, palace, request.spool):
            steps.learn_palace(ledger, palace, request.spool)
        if _nothing_changed(ledger, store, request):
            report.sessions = _known_lines(ledger, request)
        else:
            for plan in _plans(store, ledger, request, report):
                report.sessions.append(SessionLine.of(plan))
    report.findings += store.findings
    report.error = next(iter(store.failures), None)
    return report


def run(store: Store, request: RunRequest, observer: Observer, log: IO[bytes]) -> RunReport:
    """Take the store's new talk into the palace. Raises what ends a run before its work.

    What goes wrong later is the report's `error`, beside all that was done.
    """
    report = _new_report(store, request)
    palace = request.palace
    with (
        palace_lock(palace.path, request.home, request.wait, request.command) as lock,
        Ledger.open(request.ledger, f"broken-{request.now_ms}") as ledger,
    ):
        roll_back_journal(palace)
        if not steps.see_palace(ledger, palace, request.spool):
            steps.learn_palace(ledger, palace, request.spool)
        key, signature = signed(store, request)
        if _nothing_changed(ledger, store, request):
            report.sessions = _known_lines(ledger, request)
            report.index_before = report.index_after = check_index(palace)
            report.drawers_before = report.drawers_after = count_drawers(palace).drawers
            return report
        with _timed(report, "pages"):
            write_pages(store, ledger, request, observer, report)
        report.findings += store.findings
        report.error = next(iter(store.failures), None)
        store.close()  # an open read transaction keeps opencode's -wal from being reset
        with _timed(report, "check"):
            report.index_before = check_index(palace)
        try:
            _file(ledger, request, observer, report, (lock, log))
        except ToolkitError as error:
            report.error = error
        with _timed(report, "check"):
            report.index_after = check_index(palace)
        unread = any(finding.kind in UNREAD for finding in report.findings)
        if report.error is None and not unread and not request.selection.narrowed:
            with ledger.writing():
                ledger.record_signature(key, signature)
    return report


def _new_report(store: Store, request: RunRequest) -> RunReport:
    return RunReport(
        command=request.command,
        palace=str(request.palace.path),
        stores=[str(place) for place in store.places],
    )


def _plans(
    store: Store, ledger: Ledger, request: RunRequest, report: RunReport
) -> Iterator[SessionPlan]:
    scope = Scope(
        agent=request.agent,
        now_ms=request.now_ms,
        lost=lost_pages(ledger, request.spool),
        unmined=ledger.unmined_sessions(request.agent, str(request.palace.path)),
    )
    return plan_sessions(store, ledger, request.selection, scope, report.findings)


def _nothing_changed(ledger: Ledger, store: Store, request: RunRequest) -> bool:
    """Whether store, spool and palace are all as the last complete run left them."""
    key, signature = signed(store, request)
    return (
        not request.selection.narrowed
        and ledger.signature(key) == signature
        and not ledger.unmined_sessions(request.agent, str(request.palace.path))
        and not ledger.retired_pages()
        and not lost_pages(ledger, request.spool)
    )


def _known_lines(ledger: Ledger, request: RunRequest) -> list[SessionLine]:
    present = ledger.present(request.agent)
    return [
        SessionLine.of(SessionPlan("skipped" if known.skipped else "unchanged", known))
        for known in ledger.sessions(request.agent).values()
        if known.id in present
    ]


def write_pages(
    store: Store, ledger: Ledger, request: RunRequest, observer: Observer, report: RunReport
) -> None:
    """Read what changed and bring the spool and the ledger up to it, batch by batch."""
    observer.stage("reading sessions")
    batch: list[Recording] = []
    for plan in _plans(store, ledger, request, report):
        report.sessions.append(SessionLine.of(plan))
        observer.advance()
        changes = plan_pages(plan) if plan.cuts or plan.pages else PageChanges()
        if plan.known and not changes.write and not changes.retire:
            continue
        folder = spool_files.wing_folder(request.spool, plan.record.label, plan.record.wing)
        if changes.write:
            private_folder(folder)
        for page, record in changes.write:
            spool_files.write_page(folder, page, record.mtime_ms)
        batch.append((plan.record, [record for _, record in changes.write], changes.retire))
        if len(batch) >= BATCH:
            _record(ledger, request.spool, batch)
    _record(ledger, request.spool, batch)
    with ledger.writing():
        if not request.selection.narrowed:
            ledger.record_present(request.agent, {line.id for line in report.sessions})
    _stand_in_for_lost(ledger, request.spool)


def _record(ledger: Ledger, spool: Path, batch: list[Recording]) -> None:
    """Write down what was done to some sessions, once their pages are on the disk."""
    if not batch:
        return
    spool_files.flush(spool)
    with ledger.writing():
        for session, written, retired in batch:
            ledger.record_session(session)
            for path in retired:
                ledger.retire_page(path)
            for page in written:
                ledger.record_page(page)
    batch.clear()


def _stand_in_for_lost(ledger: Ledger, spool: Path) -> None:
    """Put an empty page where one was lost whose session is gone from its store.

    It carries the time that the palace knows, so that mining passes it by, and it keeps
    `mempalace sync` from taking its absence for a wish to forget.
    """
    for path, mtime_ms in lost_pages(ledger, spool).items():
        page = spool / path
        private_folder(page.parent)
        page.touch(mode=0o600)
        spool_files.touch_page(page, mtime_ms)


def _file(
    ledger: Ledger,
    request: RunRequest,
    observer: Observer,
    report: RunReport,
    held: tuple[int, IO[bytes]],
) -> None:
    """Bring the palace up to the spool. Raises when something is left undone."""
    palace = request.palace
    folders = {
        folder: pages
        for folder, pages in ledger.folders_to_mine(str(palace.path)).items()
        if folder.partition("/")[0] in (request.agent, f"{request.agent}-subagent")
    }
    before = count_drawers(palace)
    report.drawers_before = report.drawers_after = before.drawers
    if not folders and not ledger.retired_pages():
        return
    setting = ChildSetting(
        palace=palace.path,
        environment=request.environment,
        log=held[1],
        lock=held[0],
        stall_seconds=request.stall,
        on_page=observer.advance,
    )
    filing = Filing(ledger, palace, request.spool, find_mempalace(request.mempalace), setting)
    if palace.embedding_model == "minilm":
        with _timed(report, "model"):
            ensure(request.model, observer.stage)
    with _timed(report, "mine"):
        failures = dict(steps.drop_retired(filing))
        observer.stage("filing pages", sum(folders.values()))
        results = steps.mine_folders(filing, folders, lambda: _heal(palace))
        steps.learn_palace(ledger, palace, request.spool)
        if again := steps.show_orphans_again(filing):
            results += steps.mine_folders(filing, again, lambda: _heal(palace))
            steps.learn_palace(ledger, palace, request.spool)
    left = ledger.folders_to_mine(str(palace.path))
    for result in results:
        folder = steps.folder_of(result.job)
        if result.code == 0 and folder in left:
            failures[folder] = f"{left[folder]} page(s) are not in the palace after a mine that"
            failures[folder] += " said it had filed them"
    report.drawers_after = count_drawers(palace).drawers
    counts = filed_since(palace, before.mark) if palace.has_hnsw_index else None
    report.wings = _wing_lines(results, folders, counts, report.sessions)
    _raise_failures(request, results, failures)


def _heal(palace: PalaceLocation) -> None:
    roll_back_journal(palace)
    check_index(palace)


def _wing_lines(
    results: list[JobResult],
    folders: Mapping[str, int],
    counts: Mapping[str, int] | None,
    sessions: list[SessionLine],
) -> list[WingLine]:
    lines: dict[str, WingLine] = {}
    for result in results:
        wing = result.job.wing
        pages = sum(n for folder, n in folders.items() if folder.partition("/")[2] == wing)
        new = [s for s in sessions if s.wing == wing and s.action not in ("unchanged", "skipped")]
        ended = "filed" if result.code == 0 else result.describe()
        if wing in lines and lines[wing].result != "filed":
            ended = lines[wing].result
        drawers = counts.get(wing, 0) if counts is not None else None
        lines[wing] = WingLine(wing, len(new), pages, drawers, ended)
    return sorted(lines.values(), key=lambda line: line.wing)


def _raise_failures(
    request: RunRequest, results: list[JobResult], failures: Mapping[str, str]
) -> None:
    failed = [result for result in results if result.code != 0]
    if not failed and not failures:
        return
    holder = mempalace_holder(request.palace.path, request.home)
    if holder and failed:
        raise PalaceBusyError(
            f"the palace {request.palace.path} is held by {holder}",
            "wait for it to end, or stop it, then run again: the pages are kept",
        )
    told = [f"wing {result.job.wing}: mempalace mine {result.describe()}" for result in failed]
    told += [f"{folder}: {text}" for folder, text in failures.items()]
    raise MempalaceError("; ".join(told[:3]), "see the log, then run again: the pages are kept")


@contextmanager
def _timed(report: RunReport, stage: str) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        report.seconds[stage] = report.seconds.get(stage, 0.0) + time.monotonic() - start
