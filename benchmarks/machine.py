"""The machine a benchmark ran on, and a command timed as a whole process."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process took: wall and processor seconds, and peak memory in megabytes."""

    seconds: float
    megabytes: float
    code: int
    out: str
    cpu: float = 0.0


def describe_machine() -> str:
    """Processor, cores, Python and the versions that matter, in two lines."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor() or platform.machine()
    told = ", ".join(f"{name} {version(name)}" for name in ("mempalace", "chromadb", "orjson"))
    load = os.getloadavg()[0]
    machine = f"{processor}, {os.cpu_count()} cores, load {load:.1f}"
    return f"{machine}\nPython {platform.python_version()}, {told}"


def measure(
    command: Sequence[str], environment: Mapping[str, str], whole_tree: bool = False
) -> Spent:
    """Run a command to its end, with its own peak memory (Linux: kilobytes from wait4).

    With `whole_tree` the memory is that of all its processes together.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    tree = TreeMemory(process.pid) if whole_tree else None
    out = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    megabytes = tree.end() if tree else _megabytes(usage)
    wall, cpu = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    return Spent(wall, megabytes, process.returncode, out, cpu)


class TreeMemory:
    """The most memory that a process and all under it held at one moment, in megabytes.

    Proportional set sizes, looked at ten times a second: what several map counts once.
    """

    def __init__(self, process: int) -> None:
        self.peak = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(process,), daemon=True)
        self._thread.start()

    def _watch(self, process: int) -> None:
        while not self._ended.wait(0.1):
            self.peak = max(self.peak, sum(map(_proportional, _tree(process))))

    def end(self) -> float:
        """Stop looking; the peak."""
        self._ended.set()
        self._thread.join()
        return self.peak


def _tree(process: int) -> Iterator[int]:
    yield process
    with suppress(OSError):
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            yield from _tree(int(child))


def _proportional(process: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def verdict(value: float, bound: float) -> str:
    """How a figure stands to its bound."""
    return "within" if value <= bound else "MISSED"
