"""Reads a file of the index no further than it is filled, whatever size it claims to have."""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import MempalaceError

SLACK = 1 << 20
# A larger file is mapped, so that it need not fit into memory. A map is the worse way, as the
# process dies by SIGBUS where chromadb shortens the file meanwhile.
_MAP_BEYOND = 1 << 30


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file could not be read into a value: a finding kind, and a line."""

    kind: str
    message: str


class ReadError(Exception):
    """A file that is missing, or not what its name says."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(kind, message)


def file_size(path: Path) -> tuple[int, int]:
    """How long the file is, and how much of that the disk holds.

    Raises ReadError where there is no such file, MempalaceError where it may not be looked at.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ReadError("file_missing", f"{path.name} is gone") from error
    except OSError as error:
        raise _refused(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise ReadError("file_missing", f"{path.name} is not a regular file")
    return status.st_size, status.st_blocks * 512


def load(path: Path, limit: int, mapped: bool = False) -> NDArray[np.uint8]:
    """The file's first `limit` bytes at most; `mapped` where nothing else has it open.

    Raises ReadError where it is missing or has large holes, MempalaceError where the system
    refuses to read it.
    """
    size, held = file_size(path)
    wanted = min(size, limit)
    if wanted > 4 * held + SLACK:
        raise ReadError("sparse_bloat", f"{path.name}: {size} bytes, of which {held} are on disk")
    try:
        if wanted and (mapped or wanted > _MAP_BEYOND):
            return np.memmap(path, np.uint8, "r", shape=(wanted,))
        return np.fromfile(path, np.uint8, wanted)
    except OSError as error:
        raise _refused(path, error) from error


def release(data: NDArray[Any]) -> None:
    """Give back the memory that a mapped file takes; its pages are read again when needed."""
    pages = getattr(data, "_mmap", None)
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def _refused(path: Path, error: OSError) -> MempalaceError:
    return MempalaceError(
        f"{path} cannot be read: {error.strerror or os.strerror(error.errno or 0)}",
        "run as the user who owns the palace, or correct the permissions or the disk",
    )
