"""What a run would meet and do as things are: for a dry run. Reads only."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from mempalace_toolkit.errors import (
    DamageLeftError,
    PalaceBusyError,
    ToolkitError,
    WriteUndoneError,
)
from mempalace_toolkit.files.sizes import in_bytes
from mempalace_toolkit.index.check.report import IndexReport, check_index
from mempalace_toolkit.index.repair.heal import plan_without_a_person
from mempalace_toolkit.intake.amount import Amount, amount_of_files
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.filing import key_of
from mempalace_toolkit.mining.program import find_mempalace
from mempalace_toolkit.model.location import status
from mempalace_toolkit.palace.server import server_of
from mempalace_toolkit.palace.toolkit_lock import busy_palace, held_by, palace_holder
from mempalace_toolkit.pipeline.probe import probed_seconds_a_drawer
from mempalace_toolkit.pipeline.request import RunRequest
from mempalace_toolkit.report.outlook import Outlook, PaceSource
from mempalace_toolkit.report.values import RunReport

START_SECONDS = 4.0
"""What starting MemPalace and checking the index take, however little is filed."""

MODEL_SECONDS = 30.0
"""About what fetching the model takes, where it has to be."""

BYTES_A_DRAWER = 12_000
"""Of disk: text, words, vector, links, and the vector that is kept until it is filed."""


def look_ahead(
    request: RunRequest, ledger: Ledger, report: RunReport, planned: Amount, pace: float | None
) -> Outlook:
    """What a run would meet and do; the index goes into the `report`.

    `planned` is what the sessions come to, `pace` the seconds that a drawer took in earlier
    runs, None where there were none.
    """
    palace, home = request.target.palace, request.target.home
    amount = planned + _waiting(ledger, request, report)
    stops: list[ToolkitError] = []
    holder = palace_holder(palace.path, home) or ""
    server = server_of(palace.path, home)
    through = request.through_server and server and held_by(holder, server.process)
    if holder and not through:
        stops.append(busy_palace(palace.path, holder, server))
    steps: tuple[str, ...] = ()
    try:
        report.index_before = check_index(palace)
        steps = _repair_steps(request, report.index_before)
    except ToolkitError as error:
        if not (holder and isinstance(error, PalaceBusyError)):
            stops.append(error)
    version, missing = _mempalace(request)
    if missing and (amount.pages or report.withdrawn):
        stops.append(missing)
    needed, free = amount.drawers * BYTES_A_DRAWER, _free(palace.path)
    if needed > free:
        stops.append(
            WriteUndoneError(
                f"{palace.path}: {in_bytes(needed)} of disk are needed, about, and"
                f" {in_bytes(free)} are free",
                "free some space, then run again",
            )
        )
    model, fetches = _model(request)
    seconds, source = _expected(amount, pace, fetches)
    return Outlook(
        pages=amount.pages,
        drawers=amount.drawers,
        seconds=seconds,
        pace_source=source,
        mempalace=version,
        model=model,
        fetches_model=fetches and bool(amount.pages),
        holder=holder,
        bytes_needed=needed,
        bytes_free=free,
        repair=steps,
        stops=tuple(stops),
    )


def _waiting(ledger: Ledger, request: RunRequest, report: RunReport) -> Amount:
    """Pages that earlier runs wrote and that the palace lacks, of sessions not planned anew."""
    labels = (request.agent, f"{request.agent}-subagent")
    planned = {line.id for line in report.sessions if line.action in ("grown", "rewritten")}
    sizes = []
    for folder, path in ledger.pages_to_mine(key_of(request.target.palace)):
        if folder.partition("/")[0] in labels and ledger.session_of(path) not in planned:
            with suppress(OSError):
                sizes.append((request.target.spool / path).stat().st_size)
    return amount_of_files(sizes)


def _repair_steps(request: RunRequest, index: IndexReport) -> tuple[str, ...]:
    """The steps of the repair that a run would make. Raises what would end it instead."""
    if index.status != "damaged":
        return ()
    if request.repair == "never":
        raise DamageLeftError(
            f"the palace's index is damaged: {index.detail}; with --no-repair nothing is filed",
            "mempalace-toolkit repair --dry-run shows what can be done",
        )
    return plan_without_a_person(request.target.palace, index).steps()


def _mempalace(request: RunRequest) -> tuple[str, ToolkitError | None]:
    try:
        return find_mempalace(request.mempalace).version, None
    except ToolkitError as error:
        return "", error


def _model(request: RunRequest) -> tuple[str, bool]:
    """The palace's embedding model, and whether the toolkit has to fetch it first."""
    name = request.target.palace.embedding_model
    return name, name == "minilm" and not status(request.target.model.cache).present


def _expected(amount: Amount, pace: float | None, fetches: bool) -> tuple[float, PaceSource]:
    if not amount.drawers:
        return 0.0, ""
    start = START_SECONDS + (MODEL_SECONDS if fetches else 0.0)
    if pace is not None:
        return start + amount.drawers * pace, "last_runs"
    return start + amount.drawers * probed_seconds_a_drawer(), "probe"


def _free(folder: Path) -> int:
    """Free bytes where the folder is, or will be."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return 0
