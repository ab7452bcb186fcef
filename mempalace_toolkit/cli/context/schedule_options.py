"""The options of the `schedule` commands, as typed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """The command line, as typed."""

    jobs: tuple[str, ...]
    scheduler: str
    at: str | None = None
    devbox: str | None = None
    container_user: str = ""
    engine: str = "docker"
    force: bool = False
    adopt: bool = False
