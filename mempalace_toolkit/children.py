"""How this project starts processes of its own: their interpreter, environment and folder."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).parent

CHILD_FOLDER = _PACKAGE
"""Where children run: chromadb takes settings from a `.env` in its working directory."""


def own_command(module: str, *arguments: str) -> list[str]:
    """The command line of a module of this package, named below it.

    -P keeps the working directory off its path: a `json.py` there is no module.
    """
    return [sys.executable, "-P", "-m", f"{_PACKAGE.name}.{module}", *arguments]


def settled(environment: Mapping[str, str], *, forwarded: bool = False) -> dict[str, str]:
    """The environment of a child: quiet, unbuffered, with this package at hand.

    Unless `forwarded`, MemPalace does the work itself: sent to a hub it would wait there for
    the palace, which we hold.
    """
    return {
        **environment,
        **_with_package(environment.get("PYTHONPATH", "")),
        "ANONYMIZED_TELEMETRY": "False",
        # Threads that spin while they wait take the time of those that work.
        "OMP_WAIT_POLICY": "passive",
        "PYTHONUNBUFFERED": "1",
        "MEMPALACE_HUB_FORWARD": "1" if forwarded else "0",
    }


def _with_package(path: str) -> dict[str, str]:
    """A package that is not installed is found by PYTHONPATH. One that is must not be: its
    neighbours would come before Python's own modules."""
    place = str(_PACKAGE.parent)
    if place in (sysconfig.get_path("purelib"), *path.split(os.pathsep)):
        return {}
    return {"PYTHONPATH": os.pathsep.join([place, path] if path else [place])}


def end_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent is gone; only Linux can."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, number)
