"""Files and folders for their owner alone: what the toolkit keeps is people's private talk."""

from __future__ import annotations

import errno
from pathlib import Path

from mempalace_toolkit.errors import WriteUndoneError


def private_folder(folder: Path) -> Path:
    """Create `folder`, and what is missing above it, with mode 0700; one that is there stays.

    Raises WriteUndoneError where that cannot be done.
    """
    try:
        for path in reversed([folder, *folder.parents]):
            if not path.exists():
                path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise write_undone(folder, error) from error
    return folder


def write_undone(path: Path, error: OSError) -> WriteUndoneError:
    """The error for a write that the system refused and that left the old state in place."""
    return WriteUndoneError(
        f"cannot write {path}: {error.strerror or error}",
        "free some space or mend the permissions, then run again: nothing was lost",
    )


def is_full(error: OSError) -> bool:
    """Whether there was no room: on the disk, in a quota, or below a limit on files."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
