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
from mempalace_toolkit.palace.location import DATABASE

_PROCESSES = Path("/proc")
_INDEX_FILES = frozenset({"header.bin", "data_level0.bin", "length.bin", "link_lists.bin"})
_FIRST_NAMESPACE = 0xEFFFFFFC  # the kernel's PROC_PID_INIT_INO: processes of all containers
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
        if int(process.name) != os.getpid() and _has_open(process, wanted, _INDEX_FILES):
            yield f"PID {process.name} ({_command(process)})"


def may_be_open_elsewhere(palace: Path) -> bool:
    """Whether another process has the palace open, or may have it and cannot be seen."""
    if not sees_all_processes():
        return True
    names = _INDEX_FILES | {DATABASE}
    try:
        files = [file for file in (palace / DATABASE, *palace.glob("*/*.bin")) if file.is_file()]
        wanted = {(status.st_dev, status.st_ino) for status in map(Path.stat, files)}
        processes = [entry for entry in _PROCESSES.iterdir() if entry.name.isdecimal()]
    except OSError:
        return True
    others = (one for one in processes if int(one.name) != os.getpid())
    return any(_has_open(process, wanted, names) for process in others)


def sees_all_processes() -> bool:
    """Whether no process of this machine can hide what it has open.

    One in a container sees those in it alone, and only root sees into those of other users.
    """
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - a link of the kernel's
    except OSError:
        return False
    return namespace == _FIRST_NAMESPACE and os.geteuid() == 0


def _has_open(process: Path, wanted: set[tuple[int, int]], names: frozenset[str]) -> bool:
    """By device and inode: a process in a container names the file otherwise."""
    with suppress(OSError):  # it has ended, or is another user's
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                if link.readlink().name in names:
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
