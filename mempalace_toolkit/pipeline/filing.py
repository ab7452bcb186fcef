"""The second half of a run: the palace brought up to the spool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mempalace_toolkit.amounts import count_of
from mempalace_toolkit.chroma.contents import count_drawers, filed_since
from mempalace_toolkit.errors import MempalaceError, PalaceBusyError, ToolkitError
from mempalace_toolkit.files.private import disk_full, no_room
from mempalace_toolkit.intake.missing_pages import clear_unrecorded
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.command import JobResult
from mempalace_toolkit.mining.filing import (
    Filing,
    folder_of,
    key_of,
    look_at_palace,
    mine_folders,
    show_orphans_again,
)
from mempalace_toolkit.mining.program import find_mempalace
from mempalace_toolkit.mining.retire import drop_retired
from mempalace_toolkit.mining.watched_child import ChildSetting
from mempalace_toolkit.model.ensure import ensure
from mempalace_toolkit.palace.toolkit_lock import mempalace_holder
from mempalace_toolkit.pipeline.ahead import embed_ahead, vectors_folder
from mempalace_toolkit.pipeline.batches import Batch, can_split, plan_rounds, waiting_pages
from mempalace_toolkit.pipeline.index_health import heal_after_crash, keep_sound
from mempalace_toolkit.pipeline.request import Held, RunRequest, timed
from mempalace_toolkit.report.values import Observer, RunReport, SessionLine, WingLine


def file_pages(
    ledger: Ledger,
    request: RunRequest,
    observer: Observer,
    report: RunReport,
    held: Held,
    batches: Sequence[Batch],
) -> None:
    """Bring the palace up to the spool, batch by batch. Raises when something is left undone.

    The first batch is embedded by now.
    """
    palace, key = request.target.palace, key_of(request.target.palace)
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
        environment=request.target.environment,
        log=held.log,
        lock=held.lock,
        stall_seconds=request.stall,
        on_page=observer.advance,
        vectors=vectors_folder(request),
        through_server=request.server is not None,
    )
    filing = Filing(
        ledger, palace, request.target.spool, find_mempalace(request.mempalace), setting
    )
    if palace.embedding_model == "minilm":
        with timed(report, "model"):
            ensure(request.target.model, observer.stage)

    def healed() -> None:
        heal_after_crash(request, observer, report)

    with timed(report, "mine"):
        # A server takes no `sync`: what was undone leaves the palace when that is free again.
        failures = drop_retired(filing) if request.server is None else {}
        look_at_palace(ledger, palace, request.target.spool)
        folders = _folders_to_mine(ledger, request)
        clear_unrecorded(ledger, request.target.spool, key, folders)
    results, stopped = _file_batches(filing, request, observer, report, held, batches, healed)
    with timed(report, "mine"):
        if stopped is None and request.server is None and (again := show_orphans_again(filing)):
            results += mine_folders(filing, ((folder, ()) for folder in sorted(again)), healed)
            look_at_palace(ledger, palace, request.target.spool)
    if stopped is None:
        failures.update(_lies(results, _folders_to_mine(ledger, request)))
    report.drawers_after = count_drawers(palace).drawers
    counts = filed_since(palace, before.mark) if palace.has_hnsw_index else None
    report.wings = _wing_lines(results, folders, counts, report.sessions)
    _raise_failures(request, results, failures)
    if stopped is not None:
        raise stopped


def _file_batches(
    filing: Filing,
    request: RunRequest,
    observer: Observer,
    report: RunReport,
    held: Held,
    batches: Sequence[Batch],
    heal: Callable[[], None],
) -> tuple[list[JobResult], ToolkitError | None]:
    """Embed and mine each batch; how the calls ended, and what stopped the batches if anything.

    Between two batches others may have the palace.
    """
    ledger, palace = filing.ledger, request.target.palace
    results: list[JobResult] = []
    total = sum(map(len, batches))
    done = 0
    for number, batch in enumerate(batches or [()]):
        left = f", {done:,} of {total:,} pages can be searched by now" if number else ""
        try:
            if number:
                text = f"embedding drawers{left}"
                embed_ahead(ledger, request, observer, report, held, batch, text)
                keep_sound(request, observer, report)
            with timed(report, "mine"):
                waiting = waiting_pages(ledger, request)
                still = {page.path for page in waiting}
                last = number + 1 >= len(batches)
                now = waiting if last else [page for page in batch if page.path in still]
                observer.stage(f"filing pages{left}", len(now))
                split = can_split(request)
                rounds = plan_rounds(now, split)
                jobs = [job for some in rounds for job in some.items()]  # for one child
                results += mine_folders(filing, jobs, heal)
                look_at_palace(ledger, palace, request.target.spool)
        except ToolkitError as error:
            return results, error
        done += len(now)
        if any(result.code != 0 for result in results):
            break
    return results, None


def _folders_to_mine(ledger: Ledger, request: RunRequest) -> dict[str, int]:
    """This agent's folders with pages that the palace lacks, and how many."""
    labels = (request.agent, f"{request.agent}-subagent")
    folders = ledger.folders_to_mine(key_of(request.target.palace))
    return {name: n for name, n in folders.items() if name.partition("/")[0] in labels}


def _lies(results: list[JobResult], left: Mapping[str, int]) -> dict[str, str]:
    """Folders that MemPalace said it had filed, of which the palace lacks pages."""
    failed = {folder_of(result.job) for result in results if result.code != 0}
    said = {folder_of(result.job) for result in results if result.code == 0} - failed
    return {
        folder: f"{count_of(left[folder], 'page')} not in the palace, although MemPalace reported"
        " success"
        for folder in said & left.keys()
    }


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
    holder = mempalace_holder(request.target.palace.path, request.target.home)
    if holder and failed and request.server is None:
        raise PalaceBusyError(
            f"the palace {request.target.palace.path} is held by {holder}",
            "wait for it to end, or stop it, then run again: the pages are kept",
            holder,
        )
    causes = " ".join(result.cause for result in failed)
    if failed and no_room(request.target.palace.path, causes):
        raise disk_full(request.target.palace.path, causes)
    told = [f"wing {result.job.wing}: mempalace mine {result.describe()}" for result in failed]
    told += [f"{folder}: {text}" for folder, text in failures.items()]
    raise MempalaceError("; ".join(told[:3]), "see the log, then run again: the pages are kept")
