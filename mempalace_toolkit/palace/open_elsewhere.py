"""Which other processes have the palace's index open: an MCP server, say, that holds no lock.

chromadb keeps the files of an index open from a client's first query to the end of its process.
Linux tells of every process by /proc, elsewhere psutil does. Neither sees into a container from
within another, nor, unless for root, what other users' processes have open.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

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
                "end it, then run again: it keeps the damaged index in memory and writes it back",
            )
        time.sleep(_POLL_SECONDS)


def open_elsewhere(palace: Path) -> Iterator[str]:
    """`PID N (command)` of each other process that has a file of an index open."""
    return _open_in(_identities(palace.glob("*/*.bin"), _INDEX_FILES), _INDEX_FILES)


def clients_of(folders: Iterable[Path]) -> tuple[str, ...]:
    """`PID N (command)` of each other process that has a file of these index folders open."""
    files = (file for folder in folders for file in folder.glob("*.bin"))
    return tuple(_open_in(_identities(files, _INDEX_FILES), _INDEX_FILES))


def may_be_open_elsewhere(palace: Path) -> bool:
    """Whether another process has the palace open, or may have it and cannot be seen."""
    if not sees_all_processes():
        return True
    names = _INDEX_FILES | {DATABASE}
    wanted = _identities((palace / DATABASE, *palace.glob("*/*.bin")), names)
    return next(_open_in(wanted, names), None) is not None


def _identities(files: Iterable[Path], names: frozenset[str]) -> set[tuple[int, int]]:
    """Device and inode of each: a process in a container names the file otherwise."""
    found = set()
    with suppress(OSError):
        for file in files:
            with suppress(OSError):
                if file.name in names:
                    status = file.stat()
                    found.add((status.st_dev, status.st_ino))
    return found


def _open_in(wanted: set[tuple[int, int]], names: frozenset[str]) -> Iterator[str]:
    if not wanted:
        return
    try:
        processes = [entry for entry in _PROCESSES.iterdir() if entry.name.isdecimal()]
    except OSError:
        processes = []
    if not processes:
        yield from _told_by_psutil(wanted, names)
    for process in processes:
        if int(process.name) != os.getpid() and _has_open(process, wanted, names):
            yield f"PID {process.name} ({_command(process)})"


def _told_by_psutil(wanted: set[tuple[int, int]], names: frozenset[str]) -> Iterator[str]:
    """The same on a system without /proc. It names files as this process would."""
    try:
        psutil: Any = importlib.import_module("psutil")
    except ImportError:
        return
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            paths = [Path(one.path) for one in process.open_files()]
        except (psutil.Error, OSError):  # it has ended, or is another user's
            continue
        if process.pid != os.getpid() and _identities(paths, names) & wanted:
            yield f"PID {process.pid} ({_named(process.info['cmdline'] or [])})"


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
        return _named((process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0"))
    return "unnamed"


def _named(words: Iterable[str]) -> str:
    names = [Path(word).name for word in words if word]
    if len(names) > 1 and names[0].startswith("python"):
        names = names[1:]
    return " ".join(names[:2]) or "unnamed"
