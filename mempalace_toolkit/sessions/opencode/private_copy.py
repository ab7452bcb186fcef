"""A private copy of files that nobody writes, without a name while it is used."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FileState = tuple[int, int, int] | None

_LIMIT = 1 << 30  # bytes
_PREFIX = "mempalace-toolkit-"
_LEFT = re.compile(_PREFIX + r"copy-(\d+)-.*")


def file_state(path: Path) -> FileState:
    """Modification time, size and inode of a file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


@contextmanager
def private_copy(files: Sequence[Path]) -> Iterator[Path | None]:
    """The copy of the first file, the others beside it; None if big or changed meanwhile.

    Its names are gone after the block: what has been opened in there can still be read, and a
    process that is killed later leaves nothing. What one left that was killed within is swept.
    """
    before = [file_state(file) for file in files]
    if sum(state[1] for state in before if state) > _LIMIT:
        yield None
        return
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(
        prefix=f"{_PREFIX}copy-{os.getpid()}-", ignore_cleanup_errors=True
    ) as folder:
        try:
            for file in files:
                shutil.copyfile(file, Path(folder, file.name))
        except OSError:
            yield None
            return
        is_exact = [file_state(file) for file in files] == before
        yield Path(folder, files[0].name) if is_exact else None


def _sweep(folder: Path) -> None:
    """Remove copies of this user's processes that do not live any more."""
    try:
        left = [path for path in folder.iterdir() if _LEFT.fullmatch(path.name)]
    except OSError:
        return
    for path in left:
        match = _LEFT.fullmatch(path.name)
        try:
            if match and path.lstat().st_uid == os.getuid():
                os.kill(int(match[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, OverflowError):
            continue
