"""What is known of a scheduled job, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, takewhile

from mempalace_toolkit.history.record import RunRecord
from mempalace_toolkit.schedule.calendar import next_runs, parse_when
from mempalace_toolkit.schedule.container import container_trouble
from mempalace_toolkit.schedule.job import DEVBOX
from mempalace_toolkit.schedule.job_state import (
    FindingKind,
    LastRun,
    ScheduleFinding,
    SchedulerState,
)
from mempalace_toolkit.schedule.status import remedies

GRACE_MS = 3 * 3_600_000
"""A run is late, not missed, for as long as a random delay and a whole run may take."""

_SAME_MOMENT_MS = 2_000  # systemd tells the end of a run in seconds
_CTRL_C = 130
_OFTEN = 2  # runs in a row
_LINGER = "loginctl enable-linger"
_FAILED = ("failed", "damaged", "killed", "interrupted")


def find_problems(
    states: Sequence[SchedulerState], history: Sequence[RunRecord], now_ms: int
) -> tuple[ScheduleFinding, ...]:
    """Everything wrong with the installed jobs. `history` is that of this machine's own runs.

    When a job was installed is not known, so one that never ran has missed nothing.
    """
    installed = [state for state in states if state.installed]
    found = [
        finding
        for state in installed
        for finding in (*_setting_up(state), *_running(state, _runs(state, history), now_ms))
    ]
    several = (*_twice(installed), *_weekly_and_daily(installed))
    return (*_lingering(installed), *found, *several)


def _lingering(installed: Sequence[SchedulerState]) -> Iterator[ScheduleFinding]:
    """One finding for all jobs: the setting is the user's."""
    idle = [state for state in installed if state.linger is False]
    if idle:
        jobs = ", ".join(dict.fromkeys(state.job for state in idle))
        told = f"{jobs}: lingering is off: nothing runs while you are logged out"
        yield ScheduleFinding("linger_off", idle[0].scheduler, idle[0].job, told, _LINGER)


def _setting_up(state: SchedulerState) -> Iterator[ScheduleFinding]:
    """What the scheduler's files and settings show."""
    if not state.enabled:
        told = f"{state.scheduler} has it, but does not start it at its times"
        yield _finding("timer_not_enabled", state, told, remedies.enable(state))
    if state.edited:
        told = "it was changed by hand since it was installed; the remedy overwrites that"
        again = remedies.install_again(state, "--force")
        if state.foreign:
            told = "the toolkit did not write it; the remedy replaces it and keeps its time"
            again = remedies.adopt(state)
        yield _finding("unit_edited", state, told, again)
    if state.log_folder and not state.log_folder_there:
        told = f"its log folder {state.log_folder} is missing"
        yield _finding("log_folder_missing", state, told, remedies.make_log_folder(state))
    for entry in state.unmarked:
        twice = "" if state.foreign else " as well, so that it runs twice"
        told = f"an entry of your own crontab runs it{twice}: {entry}"
        yield _finding("unmarked_entry", state, told, remedies.adopt(state))
    if state.daemon_runs is False:
        told = f"no {state.scheduler} daemon runs on this machine: no job ever starts"
        yield _finding("cron_not_running", state, told, remedies.start_daemon(state))
    box = state.container
    if box and (trouble := container_trouble(box)):
        yield _finding("container_down", state, trouble, remedies.start_container(state, box))


def _running(
    state: SchedulerState, runs: Sequence[RunRecord], now_ms: int
) -> Iterator[ScheduleFinding]:
    """What its runs show."""
    if _missed(state, runs, now_ms):
        told = f"two runs in a row are missing ({state.when})"
        yield _finding("missed_runs", state, told, remedies.run_by_hand(state))
    ended = [run for run in runs if run.status != "running"]
    held = list(takewhile(lambda run: run.status == "busy", reversed(ended)))
    if len(held) >= _OFTEN:
        yield _finding("palace_held", state, _held(held), remedies.wait_for_palace(state))
    failure = _failure(state, ended[-1] if ended else None)
    if failure:
        damaged = ended and ended[-1].error == "damaged"
        by_hand = "mempalace-toolkit repair" if damaged else remedies.run_by_hand(state)
        yield _finding("last_run_failed", state, failure, by_hand)


def _held(busy: Sequence[RunRecord]) -> str:
    """Who kept the last runs, newest first, from the palace, and since when."""
    since = datetime.fromtimestamp(busy[-1].started_ms / 1000, UTC)
    holder = busy[0].holder or "another process"
    told = f"its last {len(busy)} runs, since {since:%Y-%m-%d %H:%M} UTC, did nothing: "
    told += f"the palace was held by {holder}"
    if "mcp" in holder or "serve" in holder:
        told += ". A MemPalace server holds it from its first write until it ends: restart the"
        told += " program that it belongs to, an editor say"
    return told


def _runs(state: SchedulerState, history: Sequence[RunRecord]) -> list[RunRecord]:
    """The job's runs on this machine, oldest first; a container keeps a history of its own."""
    if state.job.endswith(DEVBOX):
        return []
    command = remedies.command_of(state)
    return sorted((run for run in history if run.command == command), key=_end)


def _end(run: RunRecord) -> int:
    return run.started_ms if run.ended_ms is None else run.ended_ms


def _missed(state: SchedulerState, runs: Sequence[RunRecord], now_ms: int) -> bool:
    """Whether two times went by since anything was heard of it."""
    heard = [_end(run) for run in runs]
    if state.last and state.last.ended_ms is not None:
        heard.append(state.last.ended_ms)
    if not state.when or not heard:
        return False
    return next_runs(parse_when(state.when), max(heard), 2)[1] + GRACE_MS < now_ms


def _failure(state: SchedulerState, last: RunRecord | None) -> str:
    """How the last run failed, in words; empty where it did not."""
    seen = state.last
    if seen is not None and seen.result != "unknown" and _is_newer(seen, last):
        if seen.result == "timeout":
            return "its last run took too long and was ended"
        if seen.result != "failed":
            return ""
        if last is None or last.status not in _FAILED or not _is_same(seen, last):
            status = "" if seen.exit_code is None else f" with exit status {seen.exit_code}"
            return f"its last run failed{status}, says {state.scheduler}"
    if last is None or last.status not in _FAILED:
        return ""
    if last.status == "killed":
        return "its last run was killed before it ended"
    if last.status == "interrupted":
        by_hand = last.exit_code == _CTRL_C and not last.started_by  # somebody's wish
        return "" if by_hand else "its last run was ended by a signal before it was done"
    return f"its last run ended with exit status {last.exit_code} ({last.error})"


def _is_newer(seen: LastRun, last: RunRecord | None) -> bool:
    """Whether the scheduler's last run is the last one of all, be it by hand or not."""
    if last is None:
        return True
    return seen.ended_ms is not None and seen.ended_ms >= _end(last) - _SAME_MOMENT_MS


def _is_same(seen: LastRun, last: RunRecord) -> bool:
    return seen.ended_ms is not None and abs(seen.ended_ms - _end(last)) <= _SAME_MOMENT_MS


def _twice(installed: Sequence[SchedulerState]) -> Iterator[ScheduleFinding]:
    """The copies of a job beside the one that is best kept."""

    def kept_first(state: SchedulerState) -> tuple[str, bool, bool, bool]:
        return state.job, not state.enabled, state.scope != "user", state.scheduler == "cron"

    for _, copies in groupby(sorted(installed, key=kept_first), key=lambda state: state.job):
        kept, *others = copies
        for other in others:
            told = f"it is installed twice: by {_place(kept)} and by {_place(other)}"
            yield _finding("installed_twice", other, told, remedies.remove(other))


def _weekly_and_daily(installed: Sequence[SchedulerState]) -> Iterator[ScheduleFinding]:
    """The weekly job beside the daily one that does the same more often."""
    names = {state.job for state in installed}
    for state in installed:
        if f"{state.job}-daily" in names:
            told = f"{state.job}-daily does the same every day"
            yield _finding("weekly_and_daily", state, told, remedies.remove(state))


def _place(state: SchedulerState) -> str:
    return state.scheduler + (" for the whole machine" if state.scope == "system" else "")


def _finding(kind: FindingKind, state: SchedulerState, message: str, by: str) -> ScheduleFinding:
    return ScheduleFinding(kind, state.scheduler, state.job, f"{state.job}: {message}", by)
