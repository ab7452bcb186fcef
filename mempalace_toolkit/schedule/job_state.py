"""What is known of a scheduled job: the values that every scheduler fills in alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

RunResult = Literal["ok", "failed", "skipped", "busy", "timeout", "unknown"]
Scope = Literal["user", "system"]
ContainerState = Literal["running", "stopped", "missing", "engine down", "engine missing", ""]

FindingKind = Literal[
    "linger_off",
    "timer_not_enabled",
    "unit_edited",
    "log_folder_missing",
    "missed_runs",
    "last_run_failed",
    "palace_held",
    "container_down",
    "installed_twice",
    "unmarked_entry",
    "weekly_and_daily",
    "cron_not_running",
]

Severity = Literal["note", "warning", "problem"]
"""A note is worth knowing, a warning costs something, a problem keeps a job from its work."""

_SEVERITIES: dict[FindingKind, Severity] = {
    "linger_off": "note",
    "log_folder_missing": "note",
    "unit_edited": "warning",
    "installed_twice": "warning",
    "unmarked_entry": "warning",
    "weekly_and_daily": "warning",
}


@dataclass(frozen=True, slots=True)
class LastRun:
    """A job's last run as its scheduler saw it. None: the scheduler does not tell."""

    ended_ms: int | None
    result: RunResult
    exit_code: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Container:
    """What a job runs in. `user` is empty for the container's own, `state` where nobody asked.

    `other_engine` is one that the machine has where `engine` is not installed.
    """

    name: str
    engine: str
    user: str = ""
    state: ContainerState = ""
    other_engine: str = ""


@dataclass(frozen=True, slots=True)
class SchedulerState:
    """A job in one scheduler.

    `when` is in our schedule language, empty where it is unknown; `log_folder` is empty where
    the job has none. `linger` is None where it does not apply or is not known. `container` is
    what the job runs in, None for a job on this machine. `unmarked` are entries of the user's own
    that run the same program; `foreign`: only those, or files that the toolkit never wrote.
    `daemon_runs`: whether the scheduler's own process is there, None
    where that is not known.
    """

    scheduler: str
    job: str
    scope: Scope
    installed: bool
    enabled: bool
    edited: bool
    files: tuple[str, ...]
    when: str
    next_run_ms: int | None
    last: LastRun | None
    log_folder: str
    log_folder_there: bool
    linger: bool | None
    container: Container | None
    unmarked: tuple[str, ...] = ()
    daemon_runs: bool | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleFinding:
    """Something to know about a scheduled job; `remedy` is a command line that mends it."""

    kind: FindingKind
    scheduler: str
    job: str
    message: str
    remedy: str

    @property
    def severity(self) -> Severity:
        """How much it matters; what is not in the table is a problem."""
        return _SEVERITIES.get(self.kind, "problem")

    def as_json(self) -> dict[str, str]:
        """The object under `findings`."""
        return {"severity": self.severity, **asdict(self)}
