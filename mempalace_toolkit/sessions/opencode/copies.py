"""Tells opencode's own files from copies and backups of them that lie beside.

No file that SQLite has open is opened here: to close it again would drop every lock that this
process holds on it (POSIX), and a running opencode would write over what is being read.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from shlex import quote

from mempalace_toolkit.sessions.model import StoreFinding

_DATABASE = re.compile(r"opencode(-(?P<channel>[A-Za-z0-9._-]+))?\.db")
_WORD = (
    r"(recover(ed|y)?|mended|repaired|restored|backup|bak|old|orig(inal)?|copy|conflict(ed)?"
    r"|sync|corrupt(ed)?|prev(ious)?|\d[\dT]*)"
)
# Only words of this kind: a channel may be named after any branch, `fix-old-copy` too.
_COPY = re.compile(rf"{_WORD}([._-]*{_WORD})*", re.IGNORECASE)
_LOOKALIKE = re.compile(r"opencode.*\.db.*", re.IGNORECASE)
_BESIDE = re.compile(r".*-(wal|shm|journal)")
_MAGIC = b"SQLite format 3\0"


def is_database(name: str) -> bool:
    """Whether opencode itself gives a database this name: `opencode.db`, or one a channel."""
    match = _DATABASE.fullmatch(name)
    return match is not None and not _COPY.fullmatch(match["channel"] or "")


def copies_in(folder: Path, read: Collection[Path]) -> list[StoreFinding]:
    """A finding for each copy of a store in a folder that is not among those `read`."""
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return []
    in_use = {same for path in read if (same := identity(path)) is not None}
    return [_finding(path) for path in names if path not in read and _is_copy(path, in_use)]


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None where there is no file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _is_copy(path: Path, in_use: Collection[tuple[int, int]]) -> bool:
    try:
        if path.is_dir():
            return path.name.startswith("storage") and (path / "session").is_dir()
        if is_database(path.name) or not _LOOKALIKE.fullmatch(path.name) or not path.is_file():
            return False
        if _BESIDE.fullmatch(path.name) or identity(path) in in_use:
            return False
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _finding(path: Path) -> StoreFinding:
    return StoreFinding(
        "copy_not_read",
        "a copy or backup of opencode's sessions by its name; it was not read, because it may "
        "hold what has been deleted since. If it has sessions that are missing elsewhere, run "
        f"this once with --store {quote(str(path))}",
        str(path),
    )
