"""The one way through: store, sessions, pages, palace, report. Only this composes stages.

`survey` plans and writes nothing; `run` does what `survey` shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO

from mempalace_toolkit.chroma.contents import count_drawers, roll_back_journal
from mempalace_toolkit.errors import (
    DamageLeftError,
    MempalaceError,
    PalaceDamagedError,
    ToolkitError,
)
from mempalace_toolkit.intake.amount import Amount, amount_of
from mempalace_toolkit.intake.selection import plan_sessions
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.filing import look_at_palace
from mempalace_toolkit.palace.server import server_of
from mempalace_toolkit.palace.toolkit_lock import held_by, mempalace_holder, palace_lock
from mempalace_toolkit.pipeline.ahead import embed_ahead, forget_vectors
from mempalace_toolkit.pipeline.batches import Batch, plan_batches, waiting_pages
from mempalace_toolkit.pipeline.filing import file_pages
from mempalace_toolkit.pipeline.index_health import keep_sound, prune_replaced, repair_setting
from mempalace_toolkit.pipeline.outlook import look_ahead
from mempalace_toolkit.pipeline.reading import (
    left_unread,
    note_known,
    note_pending,
    note_store,
    nothing_changed,
    scope_of,
    write_pages,
)
from mempalace_toolkit.pipeline.request import (
    Held,
    PalaceRequest,
    Repair,
    RunRequest,
    signed,
    timed,
)
from mempalace_toolkit.report.values import Observer, RunReport
from mempalace_toolkit.sessions.model import Store, StoreFinding

__all__ = [
    "PalaceRequest",
    "Repair",
    "RunRequest",
    "repair_setting",
    "run",
    "signed",
    "survey",
    "write_pages",
]


def survey(store: Store, request: RunRequest, pace: float | None = None) -> RunReport:
    """What a run would do with every session, and what would stop it. Writes nothing anywhere.

    `pace` is how many seconds a drawer took in earlier runs, None where there were none.
    """
    report = new_report(store, request)
    amount = Amount()
    with timed(report, "read"), Ledger.look(request.target.ledger) as ledger:
        try:
            look_at_palace(ledger, request.target.palace, request.target.spool)
        except MempalaceError as error:  # a run would mend it, or say so
            if not isinstance(error, PalaceDamagedError):  # which the look at the index tells
                place = str(request.target.palace.database)
                report.findings.append(StoreFinding(error.kind, error.message, place))
        if nothing_changed(ledger, store, request):
            note_known(ledger, store, request, report)
        else:
            note_pending(ledger, request, report)
            scope = scope_of(ledger, request, only_shown=True)
            for plan in plan_sessions(store, ledger, request.selection, scope, report.findings):
                report.note(plan)
                amount += amount_of(plan)
        note_store(report, store, request)
        report.outlook = look_ahead(request, ledger, report, amount, pace)
    report.error = next(iter(report.outlook.stops), report.error)
    return report


def run(store: Store, request: RunRequest, observer: Observer, log: IO[bytes]) -> RunReport:
    """Take the store's new talk into the palace. Raises what ends a run before its work.

    What goes wrong later is the report's `error`, beside all that was done.
    """
    report = new_report(store, request)
    request = _beside_server(request)
    target, palace = request.target, request.target.palace
    with (
        palace_lock(palace.path, target.home, target.wait, target.command, request.server) as lock,
        Ledger.open(target.ledger, f"broken-{target.now_ms}") as ledger,
    ):
        try:
            know_palace(ledger, request, observer, report)
        except DamageLeftError as error:
            report.error = error
            return report
        key, signature = signed(store, request)
        fast = nothing_changed(ledger, store, request)
        if fast:
            note_known(ledger, store, request, report)
            report.drawers_before = report.drawers_after = count_drawers(palace).drawers
        else:
            note_pending(ledger, request, report)
            with timed(report, "pages"):
                write_pages(store, ledger, request, observer, report)
        store.close()  # an open read transaction keeps opencode's -wal from being reset
        batches = [] if fast else plan_batches(waiting_pages(ledger, request), request)
        with telling_how_far(ledger, request, sum(map(len, batches))):
            held = Held(lock, log)
            if batches and request.server is None:
                embed_ahead(ledger, request, observer, report, held, batches[0])
            try:
                keep_sound(request, observer, report)  # before chromadb opens it
                if not fast:
                    file_and_check(ledger, request, observer, report, held, batches)
                prune_replaced(request, report)
                forget_vectors(request)  # all is filed
            except ToolkitError as error:
                report.error = error
        look_at_palace(ledger, palace, request.target.spool)
        if report.error is None and not left_unread(report) and not request.selection.narrowed:
            with ledger.writing():
                ledger.record_signature(key, request.agent, signature)
    return report


def know_palace(ledger: Ledger, request: RunRequest, observer: Observer, report: RunReport) -> None:
    """Have the ledger know what the palace holds. Raises DamageLeftError.

    A database that cannot be read is repaired first, where nothing is lost by it.
    """
    palace = request.target.palace
    try:
        if request.server is None:  # else the journal is the server's own
            roll_back_journal(palace)
        look_at_palace(ledger, palace, request.target.spool)
    except PalaceDamagedError as error:
        keep_sound(request, observer, report)
        try:
            look_at_palace(ledger, palace, request.target.spool)
        except PalaceDamagedError:
            raise DamageLeftError(error.message, error.hint) from error


def _beside_server(request: RunRequest) -> RunRequest:
    """The request, to file through MemPalace's server where that holds the palace and may be used.

    The index is checked as ever, and not repaired: the server has it open.
    """
    palace, home = request.target.palace.path, request.target.home
    server = server_of(palace, home) if request.through_server else None
    if server is None or not held_by(mempalace_holder(palace, home), server.process):
        return request
    return replace(request, server=server.process, repair="never")


@contextmanager
def telling_how_far(ledger: Ledger, request: RunRequest, total: int) -> Iterator[None]:
    """Have an interruption say how much of the `total` pages is filed, for the person who asked."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        with suppress(ToolkitError):
            if request.server is None:
                roll_back_journal(request.target.palace)
            look_at_palace(ledger, request.target.palace, request.target.spool)
            filed = max(0, total - len(waiting_pages(ledger, request)))
            if total:
                interruption.add_note(
                    f"{filed:,} of {total:,} new pages are filed and can be searched; "
                    "the next run files the rest"
                )
        raise


def file_and_check(
    ledger: Ledger,
    request: RunRequest,
    observer: Observer,
    report: RunReport,
    held: Held,
    batches: Sequence[Batch],
) -> None:
    """Bring the palace up to the spool, and then, however that ended, check its index.

    Of two failures the first is raised, and it tells the second too.
    """
    try:
        file_pages(ledger, request, observer, report, held, batches)
    except ToolkitError as first:
        try:
            keep_sound(request, observer, report, mined=True)
        except ToolkitError as second:
            first.message = f"{first.message}; then: {second.message}"
            first.args = (first.message,)
        raise
    keep_sound(request, observer, report, mined=True)


def new_report(store: Store, request: RunRequest) -> RunReport:
    return RunReport(
        command=request.target.command,
        palace=str(request.target.palace.path),
        stores=[str(place) for place in store.places],
    )
