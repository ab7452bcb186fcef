"""`mempalace-pi-session`: takes pi's sessions into the palace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mempalace_toolkit.cli.commands.run import run_command
from mempalace_toolkit.cli.context.session_choices import AgentCommand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mempalace_toolkit.cli.context.environment import Surroundings

NAME = "mempalace-pi-session"
ABOUT = "Take pi's sessions into the palace, and keep its index sound."


def _command() -> AgentCommand:
    from mempalace_toolkit.sessions import pi

    def folders(here: Surroundings) -> tuple[Path, str | None, str | None]:
        named = here.get("PI_CODING_AGENT_DIR"), here.get("PI_CODING_AGENT_SESSION_DIR")
        return here.home, *named

    def searched(here: Surroundings) -> Sequence[Path]:
        return pi.searched(*folders(here))

    def locate(here: Surroundings) -> Sequence[Path]:
        return pi.locate(*folders(here))

    return AgentCommand(NAME, "pi", searched, locate, pi.open_store)


def main() -> None:
    """The entry point."""
    run_command(_command, NAME, ABOUT)


if __name__ == "__main__":
    main()
