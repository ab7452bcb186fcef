"""Two folders exchange their names in one step of the kernel, so that none is ever missing."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
_AT_CWD = -100
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def exchange(first: Path, second: Path) -> None:
    """Each folder gets the other's name. Both exist, on one filesystem. Raises OSError.

    Where the filesystem cannot do it in one step (some network and overlay ones), three
    renames do, undone if one of them fails.
    """
    try:
        _exchange_at_once(first, second)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _exchange_by_renames(first, second)
    for folder in {first.parent, second.parent}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Have the folder's names on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
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


def _exchange_by_renames(first: Path, second: Path) -> None:
    between = first.with_name(f".{first.name}.exchanging")
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
