"""Has every real run of a job leave its line in the run history, however it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mempalace_toolkit.cli.output.boundary import exit_of_interruption, tell
from mempalace_toolkit.errors import (
    BugError,
    ExitCode,
    PalaceBusyError,
    ToolkitError,
    WriteUndoneError,
    error_status,
)
from mempalace_toolkit.files.private import is_full
from mempalace_toolkit.history.record import RunRecord, RunStatus
from mempalace_toolkit.history.runs import OpenRun, begin_run

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.report.values import RunReport

SCHEDULER_VARIABLE = "MEMPALACE_TOOLKIT_SCHEDULER"
"""Set by the entries of schedulers that leave no sign of their own."""

_LAUNCHD_LABEL = "se.jordbo.mempalace-"


@dataclass(slots=True)
class Outcome:
    """What the work tells of itself for the history; counts only."""

    status: RunStatus = "noop"
    sessions: int | None = None
    drawers: int | None = None
    repaired: bool = False
    error: str = ""
    holder: str = ""
    filing_ms: int | None = None

    def take(self, report: RunReport) -> None:
        """The figures of a run's report."""
        actions = report.actions
        self.status = report.status
        self.sessions = sum(actions[one] for one in ("new", "grown", "rewritten"))
        self.drawers = report.filed
        spent = report.seconds.get("embed", 0.0) + report.seconds.get("mine", 0.0)
        self.filing_ms = round(spent * 1000) if self.drawers else None
        self.repaired = bool(report.repairs)
        self.error = report.error.kind if report.error else ""
        self.holder = holder_of(report.error)


def holder_of(error: BaseException | None) -> str:
    """Who held the palace, where that is what ended a run."""
    return error.holder[:200] if isinstance(error, PalaceBusyError) else ""


def started_by(environment: Mapping[str, str], process: int) -> str:
    """The scheduler that started this process, empty where nothing tells.

    A terminal that is itself a unit hands INVOCATION_ID down to all that is typed in it;
    SYSTEMD_EXEC_PID names the one process that systemd started.
    """
    if named := environment.get(SCHEDULER_VARIABLE, ""):
        return named[:40]
    if environment.get("SYSTEMD_EXEC_PID") == str(process):
        return "systemd"
    if environment.get("XPC_SERVICE_NAME", "").startswith(_LAUNCHD_LABEL):
        return "launchd"
    return ""


def is_scheduled(surroundings: Surroundings) -> bool:
    """Whether a scheduler started this process."""
    return bool(started_by(surroundings.environment, os.getpid()))


def with_history(surroundings: Surroundings, command: str, work: Callable[[Outcome], int]) -> int:
    """Do the work between a run's begin and its line. What cannot be written is only told.

    A command line that is not valid is no run and leaves no line.
    """
    process = os.getpid()
    by = started_by(surroundings.environment, process)
    record = RunRecord(command, surroundings.now_ms, None, "running", started_by=by)
    try:
        run = begin_run(surroundings.state, record, process)
    except WriteUndoneError as error:
        _tell_unkept(command, error)
        return work(Outcome())
    outcome = Outcome()
    code: int = ExitCode.OK
    try:
        code = work(outcome)
    except BaseException as error:
        code, outcome.status, outcome.error = _judged(error, outcome)
        outcome.holder = holder_of(error)
        raise
    finally:
        if code != ExitCode.USAGE:
            ended = replace(record, ended_ms=_now(record.started_ms), exit_code=code)
            _end(run, ended, outcome)
        run.close()
    return code


def _judged(error: BaseException, outcome: Outcome) -> tuple[int, RunStatus, str]:
    """Exit code, status and kind of error of a run that ended by an exception."""
    if isinstance(error, ToolkitError):
        return error.exit_code, error_status(error), error.kind
    if isinstance(error, KeyboardInterrupt):
        return exit_of_interruption(error), "interrupted", ""
    if isinstance(error, BrokenPipeError):  # the reader went away; the work was done
        return ExitCode.OK, outcome.status, outcome.error
    if is_full(error):
        return ExitCode.UNDONE, "failed", WriteUndoneError.kind
    return BugError.exit_code, "failed", BugError.kind


def _end(run: OpenRun, record: RunRecord, outcome: Outcome) -> None:
    told = {name: getattr(outcome, name) for name in Outcome.__slots__}
    try:
        run.end(replace(record, **told))
    except WriteUndoneError as error:
        _tell_unkept(record.command, error)


def _tell_unkept(command: str, error: WriteUndoneError) -> None:
    tell(f"{command}: the run history is not kept: {error.message}")


def _now(started_ms: int) -> int:
    """The time, never before the start: clocks are set back at times."""
    return max(started_ms, time.time_ns() // 1_000_000)
