"""What an error of SQLite means for the journal, and what to do next."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mempalace_toolkit.errors import (
    DamageLeftError,
    PalaceBusyError,
    ToolkitError,
    WriteUndoneError,
)
from mempalace_toolkit.sqlite.failures import is_busy, is_corrupt


def journal_failure(error: sqlite3.Error, file: Path) -> ToolkitError:
    """The error for what SQLite refused; what was under way was undone."""
    if is_corrupt(error):
        return DamageLeftError(
            f"the journal {file} is damaged: {error}",
            "start the gateway again: it sets the journal aside and takes over readable rows",
        )
    if is_busy(error):
        return PalaceBusyError(
            f"another program has the journal {file} locked", "end it, then try again"
        )
    return WriteUndoneError(
        f"the journal {file} cannot be written: {error}",
        "nothing was acknowledged; free some space or correct the permissions, then try again",
    )
