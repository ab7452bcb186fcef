"""`mempalace-session`: takes opencode's sessions into the palace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mempalace_toolkit.cli.commands.run import run_command
from mempalace_toolkit.cli.context.session_choices import AgentCommand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.sessions.model import StoreFinding

NAME = "mempalace-session"
ABOUT = "Take opencode's sessions into the palace, and keep its index sound."


def _command() -> AgentCommand:
    from mempalace_toolkit.sessions import opencode

    def searched(here: Surroundings) -> Sequence[Path]:
        return opencode.searched(here.xdg_data_home(), here.get("OPENCODE_DB"))

    def locate(here: Surroundings) -> Sequence[Path]:
        return opencode.locate(here.xdg_data_home(), here.get("OPENCODE_DB"))

    def left_copies(here: Surroundings) -> Sequence[StoreFinding]:
        return opencode.left_copies(here.xdg_data_home())

    return AgentCommand(NAME, "opencode", searched, locate, opencode.open_store, left_copies)


def main() -> None:
    """The entry point."""
    run_command(_command, NAME, ABOUT)


if __name__ == "__main__":
    main()
