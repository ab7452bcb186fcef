"""Test support: palaces that chromadb makes, damages of them, and looks at them from outside."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(name: str) -> str:
    """The path of a program of this folder that tests run as a process of its own."""
    return str(Path(__file__).with_name(name))


def script_environment(home: Path) -> dict[str, str]:
    """Variables under which such a program finds this folder's modules, and has a home."""
    return {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}
