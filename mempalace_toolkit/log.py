"""The log of a run: a private file a run, the newest ones kept. It never holds talk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from mempalace_toolkit.files.private import private_folder, write_undone

KEPT = 30


def open_log(folder: Path, name: str) -> tuple[Path, IO[bytes]]:
    """A new log file `name` in `folder`, for its owner alone. `settle_log` comes at the end."""
    file = private_folder(folder) / name
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise write_undone(file, error) from error
    return file, os.fdopen(descriptor, "ab", buffering=0)


def settle_log(file: Path) -> bool:
    """Remove a log that nothing was written to, and the oldest beyond KEPT; whether it stays.

    Runs with nothing to do would push out the log of the last run that did something.
    """
    with suppress(OSError):
        if not file.stat().st_size:
            file.unlink()
    for old in sorted(file.parent.glob("*.log"))[:-KEPT]:
        with suppress(OSError):
            old.unlink()
    return file.exists()
