"""The log of a run: a private file a run, the newest ones kept. It never holds talk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from mempalace_toolkit.errors import WriteUndoneError

KEPT = 30


def open_log(folder: Path, name: str) -> tuple[Path, IO[bytes]]:
    """A new log file `name` in `folder`, for its owner alone; older ones beyond KEPT go."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / name
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise WriteUndoneError(
            f"cannot write a log in {folder}: {error.strerror}",
            "free some space or mend the permissions, then run again",
        ) from error
    for old in sorted(folder.glob("*.log"))[:-KEPT]:
        with suppress(OSError):
            old.unlink()
    return file, os.fdopen(descriptor, "ab", buffering=0)
