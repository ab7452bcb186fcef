"""Completion of the commands in a shell, by typer: on only where a shell asks for it."""

from __future__ import annotations

import os

SHELLS = ("bash", "zsh", "fish")


def variable_of(program: str) -> str:
    """The environment variable by which a shell asks a program for completions."""
    return f"_{program.replace('-', '_').upper()}_COMPLETE"


def is_asked_for(program: str) -> bool:
    """Whether this process was started by a shell's completion of `program`."""
    return variable_of(program) in os.environ
