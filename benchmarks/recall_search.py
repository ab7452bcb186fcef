"""What a cold search costs, beside MemPalace's own, and what a reader of a palace takes.

    python -m benchmarks.recall_search [--palaces DIR] [--only search,reader] [--json]

`search`: `mempalace-toolkit search` and `mempalace search` by turns on a palace of 10,000
drawers, the same questions, each as a whole process. The bound is for the time that a person
waits (the goal is a third); processor time is beside it. `reader`: the memory of a process that
keeps 100,000 drawers' vectors, with MemPalace's search and the embedding model loaded, and its
time for a search. The palaces are made through chromadb's client, vectors passed in (two
minutes; --palaces keeps them). Exit status 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import describe_machine, measure, verdict
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.model.location import model_folder

SEARCHED, READ = 10_000, 100_000
ROUNDS = 7
QUESTIONS = ("drawer 77 conforms", "what was detextd in the contexts", "where do we reform it")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; a bound of 0 is none."""

    name: str
    value: float
    unit: str
    bound: float = 0
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the bound holds."""
        return not self.bound or self.value <= self.bound

    def line(self) -> str:
        """For a person."""
        told = f"{self.name}: {self.value:.2f} {self.unit}"
        if self.bound:
            told += f" (<= {self.bound:.2f}: {verdict(0 if self.met else 1, 0)})"
        return f"{told}\n    {self.detail}" if self.detail else told


def searches(palace: Path) -> Iterator[Figure]:
    """Both commands by turns; the medians of their ratios."""
    programs = Path(sys.executable).parent
    environment = {**os.environ, "MEMPALACE_HUB_FORWARD": "0"}
    walls, cpus, ours, theirs = [], [], [], []
    for number in range(ROUNDS + 1):
        question = QUESTIONS[number % len(QUESTIONS)]
        toolkit = [str(programs / "mempalace-toolkit"), "search", "--palace", str(palace)]
        own = measure([*toolkit, "--json", question], environment)
        assert json.loads(own.out)["reader"] == "toolkit", own.out
        mempalace = [str(programs / "mempalace"), "--palace", str(palace), "search", question]
        other = measure(mempalace, environment)
        assert own.code == other.code == 0
        if number:  # the first of each reads from the disk
            walls.append(own.seconds / other.seconds)
            cpus.append(own.cpu / other.cpu)
            ours.append(own)
            theirs.append(other)
    told = [
        f"{statistics.median(one.seconds for one in some):.2f} s"
        f" ({statistics.median(one.cpu for one in some):.2f} s CPU)"
        for some in (ours, theirs)
    ]
    detail = f"toolkit {told[0]}, mempalace {told[1]}, medians of {ROUNDS}"
    yield Figure("cold search, time", statistics.median(walls), "of mempalace's", 0.5, detail)
    yield Figure("cold search, processor time", statistics.median(cpus), "of mempalace's")


def reader(palace: Path) -> Iterator[Figure]:
    """A process that reads the large palace."""
    argv = [sys.executable, "-m", "benchmarks.recall_search", "--read", str(palace)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    told = json.loads(ended.stdout)
    detail = f"loaded in {told['load']:.2f} s CPU, {told['after']:.0f} MB when loaded"
    yield Figure(f"reader of {READ:,} drawers, peak", told["peak"], "MB", 450, detail)
    yield Figure("its search", told["search"] * 1000, "ms CPU")


def read(palace: Path) -> int:
    """Run as a child: load the palace, search, say what it took."""
    from mempalace_toolkit.model.encode import Encoder
    from mempalace_toolkit.palace.location import PalaceLocation
    from mempalace_toolkit.recall.following import FollowedPalace
    from mempalace_toolkit.recall.tools import Reader, put_in_place
    from mempalace_toolkit.recall.without_chromadb import stand_in

    stand_in()
    encoder = Encoder(model_folder(Path.home()))
    one = Reader(FollowedPalace(PalaceLocation(palace.absolute(), "chroma", "minilm")), encoder)
    put_in_place(one)
    start = time.process_time()
    one.followed.refresh()
    load = time.process_time() - start
    from mempalace.searcher import search_memories  # type: ignore[attr-defined]  # exec'd in

    start = time.process_time()
    for question in QUESTIONS * 4:
        found = search_memories(question, str(palace.absolute()), wing="benchmark")
        assert found["results"], found
    search = (time.process_time() - start) / len(QUESTIONS * 4)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    told = {
        "load": load,
        "search": search,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "after": pages * resource.getpagesize() / 1e6,
    }
    print(json.dumps(told))
    return 0


def main() -> int:
    """Measure, print, say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--palaces", type=Path)
    parser.add_argument("--only", default="search,reader")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--read", type=Path)
    options = parser.parse_args()
    if options.read:
        return read(options.read)
    ensure(ModelRequest(cache=model_folder(Path.home())), lambda _: None)
    figures = []
    with tempfile.TemporaryDirectory(prefix="recall-search-") as scratch:
        folder = options.palaces or Path(scratch)
        for part in options.only.split(","):
            size = SEARCHED if part == "search" else READ
            palace = folder / str(size)
            if not palace.exists():
                made = [sys.executable, "-m", "benchmarks.palaces", str(palace), str(size)]
                subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
            figures += list((searches if part == "search" else reader)(palace))
    if options.json:
        print(json.dumps([asdict(one) | {"met": one.met} for one in figures], indent=2))
    else:
        print(describe_machine(), *(one.line() for one in figures), sep="\n")
    return 0 if all(one.met for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
