"""The machine a benchmark ran on, and a command timed as a whole process."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process took: wall seconds, and peak memory in megabytes."""

    seconds: float
    megabytes: float
    code: int
    out: str


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


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run a command to its end, with its own peak memory (Linux: kilobytes from wait4)."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    out = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(time.monotonic() - start, _megabytes(usage), process.returncode, out)


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def verdict(value: float, bound: float) -> str:
    """How a figure stands to its bound."""
    return "within" if value <= bound else "MISSED"
