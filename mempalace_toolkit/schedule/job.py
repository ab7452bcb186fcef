"""The jobs that can be scheduled, and how one is to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import ConfigurationError, UsageError
from mempalace_toolkit.schedule.calendar import When

ENGINES = ("docker", "podman")
DEVBOX = "-devbox"

_CONTAINER = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_USER = r"([a-zA-Z0-9_][a-zA-Z0-9_.-]*(:[a-zA-Z0-9_.-]+)?)?"


@dataclass(frozen=True, slots=True)
class Job:
    """What is run and when, if nobody says otherwise; `log` is what cron's entry writes."""

    name: str
    program: str
    arguments: tuple[str, ...]
    when: When
    log: str
    in_container: bool = False


_MONDAY, _TUESDAY, _SUNDAY = (0,), (1,), (6,)
_QUICK = ("--no-repair",)
_REPAIR = ("repair", "--yes")

JOBS: Mapping[str, Job] = {
    job.name: job
    for job in (
        Job("session", "mempalace-session", (), When(3, 0, _MONDAY), "cron.log", True),
        Job("pi-session", "mempalace-pi-session", (), When(3, 0, _TUESDAY), "cron-pi.log", True),
        Job("session-daily", "mempalace-session", _QUICK, When(3, 0), "cron.log"),
        Job("pi-session-daily", "mempalace-pi-session", _QUICK, When(3, 30), "cron-pi.log"),
        Job("repair", "mempalace-toolkit", _REPAIR, When(4, 0, _SUNDAY), "cron-repair.log"),
    )
}


@dataclass(frozen=True, slots=True)
class JobSetting:
    """One job as it is to be installed.

    `program` is absolute. `container` is empty for a job on this machine. `variables` are
    settings of the user's own environment that a scheduler would not pass on.
    """

    job: Job
    program: Path
    when: When
    container: str = ""
    container_user: str = ""
    engine: str = ENGINES[0]
    variables: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _refuse_unwritable(str(self.program))
        for _, value in self.variables:
            _refuse_unwritable(value)
        if self.container and not self.job.in_container:
            raise UsageError(f"{self.job.name} does not run in a container", "leave out --devbox")
        if self.container and not re.fullmatch(_CONTAINER, self.container):
            raise UsageError(f"{self.container!r} is not a valid container name", "see `docker ps`")
        if not re.fullmatch(_USER, self.container_user):
            raise UsageError(
                f"{self.container_user!r} is not a valid container user",
                "write a name, id or id:gid",
            )
        if self.engine not in ENGINES:
            raise UsageError(
                f"{self.engine!r} is not a known container engine", f"one of: {', '.join(ENGINES)}"
            )

    @property
    def stem(self) -> str:
        """The name it has in the schedulers, after `mempalace-`."""
        return self.job.name + (DEVBOX if self.container else "")


def stems() -> tuple[str, ...]:
    """Every name that a job can have in the schedulers."""
    names = ((name, name + DEVBOX) if job.in_container else (name,) for name, job in JOBS.items())
    return tuple(name for pair in names for name in pair)


def job_of(stem: str) -> Job:
    """The job that a stem belongs to. Raises UsageError."""
    job = JOBS.get(stem.removesuffix(DEVBOX))
    if job is None or stem not in stems():
        raise UsageError(f"there is no job {stem!r}", f"one of: {', '.join(stems())}")
    return job


def log_of(stem: str) -> str:
    """The name of the log that cron's entry writes."""
    name = job_of(stem).log
    return name.replace(".log", f"{DEVBOX}.log") if stem.endswith(DEVBOX) else name


def _refuse_unwritable(text: str) -> None:
    """No scheduler's file can hold a line break; a unit file holds nothing but UTF-8."""
    try:
        text.encode()
        sound = not any(ord(character) < 32 or ord(character) == 127 for character in text)
    except UnicodeEncodeError:
        sound = False
    if not sound:
        raise ConfigurationError(
            f"{text!r} has a character that no scheduler's file can hold",
            "choose a name without line breaks, control characters and broken UTF-8",
        )
