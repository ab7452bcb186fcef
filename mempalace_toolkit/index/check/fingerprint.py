"""Fingerprints of a palace's files: whether they are still those that were read a while ago."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mempalace_toolkit.palace.location import DATABASE

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Name, inode, bytes and time of writing (ns) of each file of a database and its indexes.

Two writes of as many bytes within a tick of the filesystem's clock (4 ms) look the same: who
spares a look because of a fingerprint has to look at what came of it.
"""


def palace_fingerprint(palace: Path) -> Fingerprint | None:
    """The files as they are now; None where they cannot be seen."""
    try:
        files = sorted((os.path.relpath(path, palace), path.stat()) for path in _files(palace))
    except OSError:
        return None
    return tuple((name, one.st_ino, one.st_size, one.st_mtime_ns) for name, one in files)


def _files(palace: Path) -> Iterator[Path]:
    for entry in palace.iterdir():
        if entry.name.startswith(DATABASE):
            yield entry
        elif entry.is_dir() and not entry.name.startswith("."):
            yield from entry.iterdir()
