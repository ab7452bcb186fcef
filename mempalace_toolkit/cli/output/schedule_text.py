"""What `schedule` has to say, as text that fits 80 columns and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mempalace_toolkit.cli.output.text import fit
from mempalace_toolkit.schedule.job import job_of

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.schedule_context import Overview
    from mempalace_toolkit.history.record import RunRecord
    from mempalace_toolkit.schedule.job import JobSetting
    from mempalace_toolkit.schedule.job_state import SchedulerState

_WIDTHS = (17, 8, 15, 11, 11, 7, 5)


def done_text(command: str, told: Mapping[str, Any], dry_run: bool) -> str:
    """What became of one job."""
    head = f"{told['job']} ({told['scheduler']}): "
    if command == "install":
        head += f"{told['when']}, next {', '.join(map(moment, told['next_runs_ms']))}"
    else:
        head += "would be removed" if dry_run else "removed"
    if not told["steps"]:
        return f"{head}\n  nothing to do"
    if not dry_run:
        return head
    return "\n".join([head, *(f"  would {line}" for line in told["steps"])])


def shown_job(setting: JobSetting, files: Mapping[Path, bytes], next_runs: Sequence[int]) -> str:
    """Each file of a job, and when it would run."""
    parts = [f"## {path}\n{content.decode()}" for path, content in files.items()]
    times = ", ".join(map(moment, next_runs))
    return "\n".join([*parts, f"## {setting.stem}: {setting.when}, next {times}\n"])


def moment(milliseconds: int) -> str:
    """`Mon 2026-11-23 03:00` where the reader is."""
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%a %Y-%m-%d %H:%M")


def status_text(overview: Overview) -> str:
    """A line a job, then what is wrong and what to do about it."""
    if not overview.states:
        return "No job is installed. Install them: mempalace-toolkit schedule install"
    rows = [_row(("JOB", "BY", "WHEN", "NEXT", "LAST", "RESULT", "TOOK"))]
    for state in overview.states:
        ended, result, seconds = _last(state, overview.history)
        by = state.scheduler if state.scope == "user" else f"{state.scheduler}*"
        following = _short(state.next_run_ms) if state.enabled else "off"
        when = state.when or "?"
        rows.append(_row((state.job, by, when, following, _short(ended), result, _took(seconds))))
    if any(state.scope == "system" for state in overview.states):
        rows.append("* for the whole machine")
    for finding in overview.findings:
        rows += [
            f"{finding.severity}: {finding.message} ({finding.kind})",
            f"  {finding.remedy}",
        ]
    return "\n".join(rows)


def status_json(overview: Overview) -> dict[str, object]:
    """The same for programs; times are in milliseconds."""
    jobs = []
    for state in overview.states:
        ran = _recorded(state, overview.history)
        jobs.append({**asdict(state), "recorded": asdict(ran) if ran else None})
    return {"jobs": jobs, "findings": [one.as_json() for one in overview.findings]}


def _recorded(state: SchedulerState, history: Sequence[RunRecord]) -> RunRecord | None:
    """The job's last run by our own history; a container keeps its own."""
    job = job_of(state.job)
    command = f"{job.program} repair" if job.name == "repair" else job.program
    runs = [run for run in history if run.command == command and run.ended_ms]
    return runs[-1] if runs and not state.container else None


def _last(
    state: SchedulerState, history: Sequence[RunRecord]
) -> tuple[int | None, str, float | None]:
    """When the last run ended, how, and how long it took: the scheduler's word, then ours."""
    ran, last = _recorded(state, history), state.last
    if last and last.result != "unknown" and last.ended_ms is not None:
        return last.ended_ms, last.result, last.seconds
    if ran:
        return ran.ended_ms, "ok" if ran.status == "noop" else ran.status, ran.seconds
    return (last.ended_ms, last.result, last.seconds) if last else (None, "", None)


def _short(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%m-%d %H:%M")


def _took(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} m"


def _row(values: Sequence[str]) -> str:
    return " ".join(map(fit, values, _WIDTHS)).rstrip()
