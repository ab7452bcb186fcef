"""What was typed for one run of a job, and the request that it makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mempalace_toolkit.errors import UsageError

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.pipeline import Repair, RunRequest
    from mempalace_toolkit.sessions.model import Agent, Store, StoreFinding


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """What tells one agent's command from the other's.

    `searched` and `locate` give the places of its store: those looked at, those there;
    `left_copies` what may hold its sessions where no store is.
    """

    name: str
    agent: Agent
    searched: Callable[[Surroundings], Sequence[Path]]
    locate: Callable[[Surroundings], Sequence[Path]]
    open_store: Callable[[Sequence[Path]], Store]
    left_copies: Callable[[Surroundings], Sequence[StoreFinding]] = lambda _: ()


@dataclass(frozen=True, slots=True)
class Choices:
    """The command line of one run, as typed."""

    dry_run: bool
    as_json: bool
    summary: bool
    progress: bool
    palace: Path | None
    store: Path | None
    wing: str | None
    since: str | None
    limit: int | None
    session: str | None
    include_subagents: bool
    repair: str
    wait: float | None
    time_limit: int
    verbose: int
    quiet: bool


def request_of(command: AgentCommand, choices: Choices, surroundings: Surroundings) -> RunRequest:
    """The run that was asked for. Raises UsageError, ConfigurationError."""
    from mempalace_toolkit.cli.context.palace_request import palace_request
    from mempalace_toolkit.intake.selection import Selection
    from mempalace_toolkit.pipeline import RunRequest

    for option, value in (("--session", choices.session), ("--wing", choices.wing)):
        if value is not None and not value.strip():
            raise UsageError(f"{option} names nothing", "--dry-run --json lists sessions and wings")
    settings = surroundings.configuration()
    selection = Selection(
        wing=choices.wing,
        since_ms=since_ms(choices.since, surroundings.now_ms)
        if choices.since is not None
        else None,
        limit=choices.limit,
        session=choices.session,
        include_subagents=choices.include_subagents or settings.include_subagents,
        wings=settings.wings,
    )
    place = surroundings.palace(choices.palace, settings)
    return RunRequest(
        target=palace_request(surroundings, command.name, place, settings, choices.wait),
        agent=command.agent,
        selection=selection,
        mempalace=settings.mempalace,
        stall=settings.stall,
        repair=repair_choice(choices.repair),
        through_server=settings.through_server,
    )


def repair_choice(written: str) -> Repair:
    """The value of --repair. Raises UsageError."""
    choices: dict[str, Repair] = {"auto": "auto", "always": "always", "never": "never"}
    if written not in choices:
        raise UsageError(f"--repair takes auto, always or never, not {written!r}", "see --help")
    return choices[written]


def since_ms(written: str, now_ms: int) -> int:
    """`2026-11-01`, `2026-11-01T12:00` (local time), `7d` or `12h` as milliseconds.

    Raises UsageError for anything else.
    """
    span = re.fullmatch(r"(\d{1,5})([dh])", written)
    if span:
        unit = timedelta(days=1) if span[2] == "d" else timedelta(hours=1)
        return now_ms - int(span[1]) * unit // timedelta(milliseconds=1)
    try:
        return int(datetime.fromisoformat(written).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"--since {written!r} is not a valid date",
            "write 2026-11-01, 2026-11-01T12:00, 7d or 12h",
        ) from error
