"""Which MemPalace is called, and of which version."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from dataclasses import dataclass

from mempalace_toolkit.errors import ConfigurationError, MempalaceError

LEAST_VERSION = (3, 11)


@dataclass(frozen=True, slots=True)
class MempalaceCommand:
    """How MemPalace is called. `program` is None for the one in our own environment."""

    program: str | None
    version: str


def find_mempalace(program: str | None) -> MempalaceCommand:
    """The MemPalace to use: the configured program, or the one installed with the toolkit.

    Raises MempalaceError where it is missing, does not answer, or is too old.
    """
    version = _own_version() if program is None else _asked_version(program)
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if numbers < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise MempalaceError(
            f"MemPalace {version} is too old: {least} or later is needed",
            "upgrade it the way it was installed: pipx upgrade mempalace, uv tool upgrade mempalace"
            if program
            else "install the toolkit again",
        )
    return MempalaceCommand(program, version)


def _own_version() -> str:
    try:
        return importlib.metadata.version("mempalace")
    except importlib.metadata.PackageNotFoundError as error:
        raise MempalaceError(
            "MemPalace is not installed beside the toolkit",
            "install the toolkit again",
        ) from error


def _asked_version(program: str) -> str:
    hint = "correct `mempalace = …` in the configuration, or remove it to use the toolkit's own"
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no MemPalace at {program}", hint) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise MempalaceError(f"{program} --version does not answer: {error}", hint) from error
    found = re.search(r"\d+\.\d+[\w.]*", answer.stdout)
    if not found:
        raise MempalaceError(f"{program} --version names no version", hint)
    return found[0]
