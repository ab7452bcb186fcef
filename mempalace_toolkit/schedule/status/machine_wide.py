"""Jobs that someone installed for the whole machine: seen, never touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mempalace_toolkit.schedule.calendar import from_on_calendar
from mempalace_toolkit.schedule.job import DEVBOX, JOBS, stems
from mempalace_toolkit.schedule.job_state import SchedulerState
from mempalace_toolkit.schedule.programs import Account
from mempalace_toolkit.schedule.schedulers.launchd.scheduler import label_of
from mempalace_toolkit.schedule.schedulers.systemd.units import timer_name
from mempalace_toolkit.schedule.templates import values_of

_UNIT_FOLDERS = (
    "etc/systemd/system",
    "etc/systemd/user",
    "usr/local/lib/systemd/system",
    "usr/local/lib/systemd/user",
)
_PROPERTY_FOLDERS = ("Library/LaunchAgents", "Library/LaunchDaemons")
# A program of ours in a command; not the log folder, which has the name of one.
_PROGRAM = re.compile(
    r"(?<!\.cache/)(?<![\w.-])(mempalace-(?:pi-)?session|mempalace-toolkit['\"]? repair)(?![\w/-])"
)


def system_states(account: Account) -> tuple[SchedulerState, ...]:
    """Every job of ours at the machine's level."""
    return (*_units(account.root), *_agents(account.root), *_crontabs(account.root))


def _units(root: Path) -> Iterator[SchedulerState]:
    for folder in (root / name for name in _UNIT_FOLDERS):
        for stem in stems():
            timer = folder / timer_name(stem)
            text = _text(timer)
            if text is not None:
                whens = [from_on_calendar(value) for value in values_of(text, "OnCalendar")]
                enabled = (folder / "timers.target.wants" / timer.name).is_symlink()
                yield _state("systemd", stem, timer, enabled, str((whens or [None])[0] or ""))


def _agents(root: Path) -> Iterator[SchedulerState]:
    for folder in (root / name for name in _PROPERTY_FOLDERS):
        for stem in stems():
            file = folder / f"{label_of(stem)}.plist"
            if file.is_file():
                yield _state("launchd", stem, file, True, "")


def _crontabs(root: Path) -> Iterator[SchedulerState]:
    folder = root / "etc/cron.d"
    with suppress(OSError):
        for file in [root / "etc/crontab", *sorted(folder.iterdir() if folder.is_dir() else [])]:
            lines = (_text(file) or "").splitlines()
            for line in lines:
                stem = None if line.lstrip().startswith("#") else _stem_of(line)
                if stem:
                    yield _state("cron", stem, file, True, "")


def _stem_of(command: str) -> str | None:
    """The job whose program a command runs."""
    found = _PROGRAM.search(command)
    if not found:
        return None
    program = "mempalace-toolkit" if found[1].startswith("mempalace-toolkit") else found[1]
    jobs = [job for job in JOBS.values() if job.program == program]
    daily = [job for job in jobs if "--no-repair" in job.arguments and "--no-repair" in command]
    job = (daily or jobs)[0]
    in_container = re.search(r"\b(docker|podman)\b", command) and job.in_container
    return f"{job.name}{DEVBOX}" if in_container else job.name


def _text(file: Path) -> str | None:
    with suppress(OSError):
        return file.read_text("utf-8", errors="replace")
    return None


def _state(scheduler: str, stem: str, file: Path, enabled: bool, when: str) -> SchedulerState:
    return SchedulerState(
        scheduler=scheduler,
        job=stem,
        scope="system",
        installed=True,
        enabled=enabled,
        edited=False,
        files=(str(file),),
        when=when,
        next_run_ms=None,
        last=None,
        log_folder="",
        log_folder_there=False,
        linger=None,
        container=None,
    )
