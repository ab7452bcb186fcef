"""A cgroup of our own below the one we are in, so that everything in it can be ended at once."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tests.schedule.waiting import wait_until

CGROUP_NAME = "mempalace-toolkit-test"


def own_cgroup() -> Path | None:
    """The folder of the cgroup2 that this process is in."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    places = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = [line[3:] for line in lines if line.startswith("0::")]
    return Path(places[0] + own[0]) if places and own else None


def make_cgroup() -> Path:
    """A new child of our own cgroup; those that a killed test left are ended."""
    parent = own_cgroup()
    assert parent is not None
    for left in parent.glob(f"{CGROUP_NAME}-*"):
        if not Path("/proc", left.name.split("-")[3]).exists():
            with suppress(OSError):
                end_cgroup(left)
    numbers = iter(range(10_000))
    while True:
        made = parent / f"{CGROUP_NAME}-{os.getpid()}-{next(numbers)}"
        with suppress(FileExistsError):
            made.mkdir()
            return made


def end_cgroup(folder: Path) -> None:
    """Kill everything in it and take it away."""
    with suppress(FileNotFoundError):
        (folder / "cgroup.kill").write_text("1")
    wait_until(lambda: is_empty(folder), "every process there ends")
    remove_cgroup(folder)


def is_empty(folder: Path) -> bool:
    """Whether no process is in it or below."""
    return "populated 0" in (folder / "cgroup.events").read_text()


def remove_cgroup(folder: Path) -> None:
    """Take an empty one away, with those below."""
    for root, _, _ in os.walk(folder, topdown=False):
        Path(root).rmdir()
