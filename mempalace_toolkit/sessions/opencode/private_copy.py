"""A private copy of files that nobody writes, without a name while it is used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mempalace_toolkit.files.scratch import scratch_folder

FileState = tuple[int, int, int] | None

_LIMIT = 1 << 30  # bytes


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
    with scratch_folder() as folder:
        try:
            for file in files:
                shutil.copyfile(file, folder / file.name)
        except OSError:
            yield None
            return
        is_exact = [file_state(file) for file in files] == before
        yield folder / files[0].name if is_exact else None
