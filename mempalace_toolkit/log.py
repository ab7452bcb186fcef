"""The log of a run: a private file a run, the newest ones kept. It never holds talk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from mempalace_toolkit.files.private import private_folder, write_undone

KEPT = 30


def open_log(folder: Path, name: str) -> tuple[Path, IO[bytes]]:
    """A new log file `name` in `folder`, for its owner alone; older ones beyond KEPT go."""
    file = private_folder(folder) / name
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise write_undone(file, error) from error
    for old in sorted(folder.glob("*.log"))[:-KEPT]:
        with suppress(OSError):
            old.unlink()
    return file, os.fdopen(descriptor, "ab", buffering=0)
