"""`mempalace-toolkit completion`: what a shell needs to complete the commands."""

from __future__ import annotations

import os
import subprocess
from typing import Annotated

import typer

from mempalace_toolkit.children import own_command
from mempalace_toolkit.cli.context.completion import SHELLS, variable_of
from mempalace_toolkit.cli.context.palace_options import AsJson
from mempalace_toolkit.errors import ExitCode, UsageError

COMMAND = "mempalace-toolkit completion"
MODULES = {
    "mempalace-session": "session",
    "mempalace-pi-session": "pi_session",
    "mempalace-toolkit": "toolkit",
}
"""The module under `cli/` that starts each command."""


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    as_json: AsJson = False,
) -> None:
    """Print a script that lets the shell complete the three commands.

    bash, zsh: eval "$(mempalace-toolkit completion bash)" in ~/.bashrc, with zsh in ~/.zshrc.
    fish: write it to ~/.config/fish/completions/mempalace-toolkit.fish.
    """
    from mempalace_toolkit.cli.output.boundary import end_with

    raise typer.Exit(end_with(COMMAND, as_json, 0, lambda: _print_scripts(shell, as_json)))


def _print_scripts(shell: str, as_json: bool) -> int:
    from mempalace_toolkit.cli.output.boundary import print_answer

    if shell not in SHELLS:
        raise UsageError(f"{shell!r} is not a known shell", f"one of: {', '.join(SHELLS)}")
    scripts = []
    for program, module in MODULES.items():
        asked = {**os.environ, variable_of(program): f"source_{shell}"}
        argv = own_command(f"cli.{module}")
        done = subprocess.run(argv, env=asked, capture_output=True, text=True)
        scripts.append(done.stdout.strip())
    text = "\n".join(scripts)
    if as_json:
        print_answer(COMMAND, "ok", {"text": text})
    else:
        print(text)
    return ExitCode.OK
