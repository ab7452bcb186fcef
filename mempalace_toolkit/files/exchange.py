"""Two folders or files exchange their names, in one step of the kernel where it can."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
_AT_CWD = -100
_BETWEEN = ".exchanging"
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def exchange(first: Path, second: Path) -> None:
    """Each gets the other's name: two folders or two files of one filesystem. Raises OSError.

    Where the filesystem cannot do it in one step (some network and overlay ones), a second
    name of the file that is replaced, or for folders three renames do; undone if one of them
    fails. What a kill leaves of that, `finish_exchanges` makes up for.
    """
    try:
        _exchange_at_once(first, second)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if first.is_file():
            _exchange_files(first, second)
        else:
            _exchange_by_renames(first, second)
    for folder in {first.parent, second.parent}:
        sync_path(folder)


def unfinished_exchanges(palace: Path) -> list[Path]:
    """What killed exchanges left under names of their own."""
    return sorted(palace.glob(f".*{_BETWEEN}"))


def finish_exchanges(palace: Path) -> None:
    """Give all that a killed exchange left a name again, and the palace its database.

    The caller holds the palace. Raises OSError.
    """
    for between in unfinished_exchanges(palace):
        first = palace / between.name[1 : -len(_BETWEEN)]
        second = palace / first.name.rpartition(".")[0]
        if not first.exists():
            between.rename(first)
        elif second != palace and not second.exists():
            between.rename(second)
        elif second.is_file() and between.samefile(second):
            between.unlink()
        sync_path(palace)


def sync_path(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange_at_once(first: Path, second: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(first), os.fsencode(second))
    try:
        if sys.platform == "darwin":
            result = library.renamex_np(*names, ctypes.c_uint(_EXCHANGE))
        else:
            result = library.renameat2(
                _AT_CWD, names[0], _AT_CWD, names[1], ctypes.c_uint(_EXCHANGE)
            )
    except AttributeError as missing:
        raise OSError(errno.ENOSYS, "no exchange of names in this C library") from missing
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(first), None, str(second))


def _exchange_files(first: Path, second: Path) -> None:
    """Both names lead to a file at every moment: the one that is replaced has two for a while."""
    between = _between(first)
    between.unlink(missing_ok=True)
    try:
        between.hardlink_to(second)
    except OSError:  # no second names on this filesystem
        shutil.copy2(second, between)
        sync_path(between)
    try:
        first.replace(second)
    except OSError:
        between.unlink()
        raise
    between.replace(first)


def sync_tree(folder: Path) -> None:
    """Have a folder's files and their names on the disk. Raises OSError."""
    for file in folder.iterdir():
        if file.is_file() and not file.is_symlink():
            sync_path(file)
    sync_path(folder)


def _between(first: Path) -> Path:
    return first.with_name(f".{first.name}{_BETWEEN}")


def _exchange_by_renames(first: Path, second: Path) -> None:
    between = _between(first)
    first.rename(between)
    try:
        second.rename(first)
        try:
            between.rename(second)
        except OSError:
            first.rename(second)
            raise
    except OSError:
        between.rename(first)
        raise
