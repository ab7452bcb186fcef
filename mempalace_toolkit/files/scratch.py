"""Private folders for copies that are read once, in the folder for temporary files.

Their names tell the process that made them: what one left that was killed is swept by the next.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mempalace_toolkit.files.private import is_alive

_PREFIX = "mempalace-toolkit-copy-"
_LEFT = re.compile(_PREFIX + r"(\d+)-.*")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for its owner alone, gone after the block. Raises OSError."""
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(
        prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _sweep(folder: Path) -> None:
    """Remove folders of this user's processes that do not live any more."""
    try:
        left = [path for path in folder.iterdir() if _LEFT.fullmatch(path.name)]
    except OSError:
        return
    for path in left:
        match = _LEFT.fullmatch(path.name)
        with suppress(OSError):
            if match and path.lstat().st_uid == os.getuid() and not is_alive(int(match[1])):
                shutil.rmtree(path, ignore_errors=True)
