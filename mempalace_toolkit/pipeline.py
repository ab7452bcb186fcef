"""The one way through: store, sessions, pages, palace, report. Only this composes stages.

`survey` plans and writes nothing; `run` does what `survey` shows.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from mempalace_toolkit import __version__
from mempalace_toolkit.errors import (
    DamageLeftError,
    MempalaceError,
    PalaceBusyError,
    StoreUnreadableError,
    ToolkitError,
    UnknownSchemaError,
)
from mempalace_toolkit.mining.filing import (
    Filing,
    folder_of,
    key_of,
    look_at_palace,
    mine_folders,
    show_orphans_again,
)
from mempalace_toolkit.mining.ledger import Ledger
from mempalace_toolkit.mining.lost import clear_unrecorded, lost_pages, stand_in
from mempalace_toolkit.mining.mempalace import ChildSetting, JobResult, find_mempalace
from mempalace_toolkit.mining.plan import Action, SessionPlan
from mempalace_toolkit.mining.retire import drop_retired
from mempalace_toolkit.mining.selection import SUBAGENT, Scope, Selection, plan_sessions
from mempalace_toolkit.mining.writing import PageWriter
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.palace.deep import DeepCheck
from mempalace_toolkit.palace.drawers import count_drawers, filed_since, roll_back_journal
from mempalace_toolkit.palace.embedding import palace_embedder
from mempalace_toolkit.palace.healing import heal
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.lock import mempalace_holder, palace_lock
from mempalace_toolkit.palace.rebuild_steps import RepairSetting
from mempalace_toolkit.report import Observer, RunReport, SessionLine, WingLine
from mempalace_toolkit.sessions.model import Agent, Store, StoreFinding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Repair = Literal["auto", "always", "never"]
"""When the index is repaired: on damage; on damage that only the model can show, too; never."""

UNREAD = {StoreUnreadableError.kind, UnknownSchemaError.kind}
"""Findings of sessions that could not be read: they are tried again by the next run."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything a run needs to know. `now_ms` is the time it counts as happening at, `stamp`
    the same as YYYYMMDD-HHMMSS where the user is, for the names of what is kept.
    """

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
    repair: Repair = "auto"
    stamp: str = "19700101-000000"

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
    with _timed(report, "read"), Ledger.look(request.ledger) as ledger:
        try:
            look_at_palace(ledger, request.palace, request.spool)
        except MempalaceError as error:  # a run would mend it, or say so
            report.findings.append(
                StoreFinding(error.kind, error.message, str(request.palace.database))
            )
        if _nothing_changed(ledger, store, request):
            report.sessions = _known_lines(ledger, store, request)
        else:
            scope = _scope(ledger, request)
            for plan in plan_sessions(store, ledger, request.selection, scope, report.findings):
                report.sessions.append(SessionLine.of(plan))
    _note_store(report, store)
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
        look_at_palace(ledger, palace, request.spool)
        key, signature = signed(store, request)
        fast = _nothing_changed(ledger, store, request)
        if fast:
            report.sessions = _known_lines(ledger, store, request)
            report.drawers_before = report.drawers_after = count_drawers(palace).drawers
        else:
            with _timed(report, "pages"):
                write_pages(store, ledger, request, observer, report)
        store.close()  # an open read transaction keeps opencode's -wal from being reset
        try:
            _keep_sound(request, observer, report)  # before chromadb opens it
            if not fast:
                try:
                    _file(ledger, request, observer, report, (lock, log))
                finally:
                    _keep_sound(request, observer, report)
        except ToolkitError as error:
            report.error = error
        look_at_palace(ledger, palace, request.spool)
        if report.error is None and not _left_unread(report) and not request.selection.narrowed:
            with ledger.writing():
                ledger.record_signature(key, request.agent, signature)
    return report


def _new_report(store: Store, request: RunRequest) -> RunReport:
    return RunReport(
        command=request.command,
        palace=str(request.palace.path),
        stores=[str(place) for place in store.places],
    )


def _note_store(report: RunReport, store: Store) -> None:
    """What was wrong with the store, and with a session that was asked for by name."""
    report.findings += store.findings
    report.error = next(iter(store.failures), None)


def _left_unread(report: RunReport) -> bool:
    return any(finding.kind in UNREAD for finding in report.findings)


def _scope(ledger: Ledger, request: RunRequest) -> Scope:
    return Scope(
        agent=request.agent,
        now_ms=request.now_ms,
        lost=lost_pages(ledger, request.spool, request.agent),
        unmined=ledger.unmined_sessions(request.agent, key_of(request.palace)),
    )


def _nothing_changed(ledger: Ledger, store: Store, request: RunRequest) -> bool:
    """Whether store, spool and palace are all as the last complete run left them."""
    key, signature = signed(store, request)
    palace = key_of(request.palace)
    return (
        not request.selection.narrowed
        and ledger.signature(key) == signature
        and not ledger.unmined_sessions(request.agent, palace)
        and not ledger.retired_pages(palace)
        and not lost_pages(ledger, request.spool, request.agent).any_to_write()
    )


def _known_lines(ledger: Ledger, store: Store, request: RunRequest) -> list[SessionLine]:
    """The sessions that are there, as the last complete run over this store left them."""
    present = ledger.present(signed(store, request)[0])
    lines = []
    for known in ledger.sessions(request.agent).values():
        if known.id in present:
            if known.label != request.agent and not request.selection.include_subagents:
                known = dataclasses.replace(known, skipped=SUBAGENT)
            action: Action = "skipped" if known.skipped else "unchanged"
            lines.append(SessionLine.of(SessionPlan(action, known)))
    return lines


def write_pages(
    store: Store, ledger: Ledger, request: RunRequest, observer: Observer, report: RunReport
) -> None:
    """Read what changed, and bring the spool and the ledger up to it."""
    observer.stage("reading sessions")
    with ledger.writing():
        ledger.forget_signatures(request.agent)
    scope = _scope(ledger, request)
    writer = PageWriter(ledger, request.spool)
    for plan in plan_sessions(store, ledger, request.selection, scope, report.findings):
        report.sessions.append(SessionLine.of(plan))
        observer.advance()
        writer.write(plan)
    writer.record()
    _note_store(report, store)
    if not request.selection.narrowed:
        with ledger.writing():
            ledger.record_present(signed(store, request)[0], request.agent, scope.listed)
        if report.error is None and not _left_unread(report):
            stand_in(ledger, request.spool, scope.lost.lost, scope.listed)


def _file(
    ledger: Ledger,
    request: RunRequest,
    observer: Observer,
    report: RunReport,
    held: tuple[int, IO[bytes]],
) -> None:
    """Bring the palace up to the spool. Raises when something is left undone."""
    palace, key = request.palace, key_of(request.palace)
    before = count_drawers(palace)
    report.drawers_before = report.drawers_after = before.drawers
    to_do = (
        _folders_to_mine(ledger, request),
        ledger.retired_pages(key),
        ledger.orphaned_sentinels(key),
    )
    if not any(to_do):
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

    def healed() -> None:
        _heal(request, observer, report)

    with _timed(report, "mine"):
        report.withdrawn, failures = drop_retired(filing)
        look_at_palace(ledger, palace, request.spool)
        folders = _folders_to_mine(ledger, request)
        clear_unrecorded(ledger, request.spool, key, folders)
        observer.stage("filing pages", sum(folders.values()))
        results = mine_folders(filing, folders, healed)
        look_at_palace(ledger, palace, request.spool)
        if again := show_orphans_again(filing):
            results += mine_folders(filing, again, healed)
            look_at_palace(ledger, palace, request.spool)
    failures.update(_lies(results, _folders_to_mine(ledger, request)))
    report.drawers_after = count_drawers(palace).drawers
    counts = filed_since(palace, before.mark) if palace.has_hnsw_index else None
    report.wings = _wing_lines(results, folders, counts, report.sessions)
    _raise_failures(request, results, failures)


def _folders_to_mine(ledger: Ledger, request: RunRequest) -> dict[str, int]:
    """This agent's folders with pages that the palace lacks, and how many."""
    labels = (request.agent, f"{request.agent}-subagent")
    folders = ledger.folders_to_mine(key_of(request.palace))
    return {name: n for name, n in folders.items() if name.partition("/")[0] in labels}


def _lies(results: list[JobResult], left: Mapping[str, int]) -> dict[str, str]:
    """Folders that MemPalace said it had filed, of which the palace lacks pages."""
    said = {folder_of(result.job) for result in results if result.code == 0}
    return {
        folder: f"{left[folder]} page(s) are not in the palace after a mine that said it had"
        " filed them"
        for folder in said & left.keys()
    }


def _keep_sound(request: RunRequest, observer: Observer, report: RunReport) -> None:
    """Check the index, and repair it if that is wanted. Raises DamageLeftError."""
    palace = request.palace
    setting, deep = None, None
    if request.repair != "never":
        setting = repair_setting(request, observer)
        if setting.embed and request.repair == "always":
            deep = DeepCheck(setting.embed)
    with _timed(report, "check"):
        healing = heal(palace, setting, deep)
    report.index_before = report.index_before or healing.before
    report.index_after = healing.after
    if healing.result is not None:
        report.repairs.append(healing.result)
    if not healing.sound:
        raise DamageLeftError(
            f"the palace's index is damaged: {healing.after.detail}",
            "mempalace-toolkit repair --dry-run shows what can be done",
        )


def repair_setting(request: RunRequest, observer: Observer) -> RepairSetting:
    """What a repair works with; the model is made present when it is first needed."""
    embed = palace_embedder(request.palace, request.environment)

    def embed_with_model(texts: Sequence[str]) -> NDArray[np.float32]:
        assert embed is not None
        ensure(request.model, observer.stage)
        return embed(texts)

    return RepairSetting(
        home=request.home,
        environment=request.environment,
        stamp=request.stamp,
        embed=embed_with_model if embed else None,
        before_step=lambda step: observer.stage(f"repairing the index: {step}"),
    )


def _heal(request: RunRequest, observer: Observer, report: RunReport) -> None:
    """After a crash of MemPalace: nothing is left open, and the index is sound."""
    roll_back_journal(request.palace)
    _keep_sound(request, observer, report)


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
