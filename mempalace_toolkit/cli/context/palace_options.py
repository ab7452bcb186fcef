"""What the commands on a palace's index share: their options, and the request made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit.cli.context.known import remember
from mempalace_toolkit.cli.context.numbers import amount

if TYPE_CHECKING:
    from mempalace_toolkit.pipeline import PalaceRequest

NAME = "mempalace-toolkit"


def named(text: str) -> Path:
    """A path from the command line; an unset shell variable names none."""
    if not text:
        raise typer.BadParameter("it is empty")
    return Path(text)


AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Palace = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", parser=named, help="Palace folder to use instead of MemPalace's own."
    ),
]
Wait = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", parser=amount, help="How long to wait for a busy palace (default: 60)."
    ),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="Do not ask for consent; needed where there is no terminal."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; write nothing.")]


def index_request(palace: Path | None, command: str, wait: float | None = None) -> PalaceRequest:
    """What is asked of the palace; what the command line leaves open the configuration says.

    Raises NoPalaceError where there is something else in its place.
    """
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.cli.context.palace_request import palace_request
    from mempalace_toolkit.palace.presence import require_palace

    here = Surroundings.of_process()
    settings = here.configuration()
    place = here.palace(palace, settings)
    remember(palace=str(place.path))
    require_palace(place, chosen=palace is not None)
    return palace_request(here, command, place, settings, wait)


def with_budget(request: PalaceRequest, gigabytes: float | None) -> PalaceRequest:
    """The request with the budget of the command line, where it names one."""
    if gigabytes is None:
        return request
    return replace(request, quarantine_bytes=int(min(gigabytes, 1e9) * 1e9))
