"""Which other processes have the palace's index open: an MCP server, say, that holds no lock.

chromadb keeps the files of an index open from a client's first query to the end of its process,
and writes its own picture of it back by name: an index that was exchanged under it would be
overwritten. Where the kernel does not tell (no /proc), nobody is seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mempalace_toolkit.errors import PalaceBusyError

_PROCESSES = Path("/proc")
_INDEX_FILES = frozenset({"header.bin", "data_level0.bin", "length.bin", "link_lists.bin"})
_READERS_SECONDS = 3.0  # a check or a search that is about to end
_POLL_SECONDS = 0.1


def refuse_while_open_elsewhere(palace: Path) -> None:
    """Raise PalaceBusyError, naming the process, where another one keeps the palace open."""
    deadline = time.monotonic() + _READERS_SECONDS
    while holder := next(open_elsewhere(palace), None):
        if time.monotonic() >= deadline:
            raise PalaceBusyError(
                f"the palace {palace} is open in {holder}",
                "end it, then run again: it would write its own index over the repaired one",
            )
        time.sleep(_POLL_SECONDS)


def open_elsewhere(palace: Path) -> Iterator[str]:
    """`PID N (command)` of each other process that has a file of an index open."""
    try:
        files = [file for file in palace.glob("*/*.bin") if file.name in _INDEX_FILES]
        wanted = {(status.st_dev, status.st_ino) for status in map(Path.stat, files)}
        processes = [entry for entry in _PROCESSES.iterdir() if entry.name.isdecimal()]
    except OSError:
        return
    for process in processes:
        if int(process.name) != os.getpid() and _has_open(process, wanted):
            yield f"PID {process.name} ({_command(process)})"


def _has_open(process: Path, wanted: set[tuple[int, int]]) -> bool:
    """By device and inode: a process in a container names the file otherwise."""
    with suppress(OSError):  # it has ended, or is another user's
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                if link.readlink().name in _INDEX_FILES:
                    status = link.stat()
                    if (status.st_dev, status.st_ino) in wanted:
                        return True
    return False


def _command(process: Path) -> str:
    with suppress(OSError):
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        names = [Path(word).name for word in words if word]
        if len(names) > 1 and names[0].startswith("python"):
            names = names[1:]
        return " ".join(names[:2]) or "unnamed"
    return "unnamed"
