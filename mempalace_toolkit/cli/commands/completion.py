"""`mempalace-toolkit completion`: what a shell needs to complete the commands."""

from __future__ import annotations

import os
import subprocess
from typing import Annotated

import typer

from mempalace_toolkit.children import own_command
from mempalace_toolkit.cli.context.completion import SHELLS, variable_of
from mempalace_toolkit.errors import ExitCode, UsageError

MODULES = {
    "mempalace-session": "session",
    "mempalace-pi-session": "pi_session",
    "mempalace-toolkit": "toolkit",
}
"""The module under `cli/` that starts each command."""


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print a script that lets the shell complete the three commands.

    bash, zsh: eval "$(mempalace-toolkit completion bash)" in ~/.bashrc, with zsh in ~/.zshrc.
    fish: write it to ~/.config/fish/completions/mempalace-toolkit.fish.
    """
    from mempalace_toolkit.cli.output.boundary import end_with

    raise typer.Exit(
        end_with("mempalace-toolkit completion", False, 0, lambda: _print_scripts(shell))
    )


def _print_scripts(shell: str) -> int:
    if shell not in SHELLS:
        raise UsageError(f"{shell!r} is not a known shell", f"one of: {', '.join(SHELLS)}")
    for program, module in MODULES.items():
        asked = {**os.environ, variable_of(program): f"source_{shell}"}
        argv = own_command(f"cli.{module}")
        print(subprocess.run(argv, env=asked, capture_output=True, text=True).stdout.strip())
    return ExitCode.OK
