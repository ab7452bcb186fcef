"""Files and folders for their owner alone: what the toolkit keeps is people's private talk."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from mempalace_toolkit.errors import DamageLeftError, MempalaceError, WriteUndoneError

UNFINISHED = ".writing"
"""How the names of files end that a killed write leaves behind; they begin with a dot."""

_LEAST_ROOM = 1 << 16
_SQLITE_FULL = 13
_TOLD_FULL = re.compile(
    r"no space left|disk is full|disk quota|file too large|os error (28|122|27)\b", re.IGNORECASE
)


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
        "free some space or correct the permissions, then run again: nothing was lost",
    )


def is_full(error: BaseException) -> bool:
    """Whether there was no room: on the disk, in a quota, or below a limit on files."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_FULL


def no_room(folder: Path, told: str = "") -> bool:
    """Whether a disk was full: another program says so, or the disk of `folder` is now."""
    if _TOLD_FULL.search(told):
        return True
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LEAST_ROOM


@contextmanager
def told_as_full(folder: Path) -> Iterator[None]:
    """Raise WriteUndoneError where what failed in the block failed for want of room.

    A child that has met a full disk ends in many ways; the disk itself tells why. The block is
    to be inside of what removes half-written files.
    """
    try:
        yield
    except (MempalaceError, DamageLeftError) as error:
        if not no_room(folder, error.message):
            raise
        raise disk_full(folder, error.message) from error
    except Exception as error:
        if not is_full(error):
            raise
        raise disk_full(folder, str(error)) from error


def disk_full(folder: Path, told: str = "") -> WriteUndoneError:
    """The error for a write for which there was no room."""
    reason = f" ({told})" if told else ""
    return WriteUndoneError(
        f"{folder}: the disk is full{reason}",
        "free some space, then run again: nothing was lost",
    )


def write_whole(
    path: Path,
    content: str | bytes,
    mode: int | None = None,
    *,
    mtime_ns: int | None = None,
    durable: bool = True,
) -> os.stat_result:
    """Replace the file at `path`: a killed write leaves the old one, a finished one is durable.

    A new file is its owner's alone (0600) and an old one keeps its permissions, unless `mode`
    says otherwise. With `mtime_ns` it gets that modification time; a file that is not `durable`
    may be lost with the machine, until something flushes the disk. Returns the file's status.
    Raises OSError; nothing is left beside the file then. A killed write leaves a file that ends
    in UNFINISHED; the next durable one of the same file removes it.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    if mode is None:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    if durable:
        _remove_unfinished(path)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if mtime_ns is not None:
                os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
            status = os.fstat(file.fileno())
        beside.replace(path)
        return status
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _remove_unfinished(path: Path) -> None:
    """Remove what killed writes of this file left beside it."""
    for left in path.parent.glob(f".{escape(path.name)}.*{UNFINISHED}"):
        process = left.name.removesuffix(UNFINISHED).rpartition(".")[2]
        if process.isdecimal() and not is_alive(int(process)):
            left.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Whether there is a process of this number, anybody's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
