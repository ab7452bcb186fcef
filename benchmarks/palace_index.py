"""What checking and repairing a palace's index costs, and how many drawers are embedded again.

    python -m benchmarks.palace_index [--palaces DIR] [--only check,rebuild,top-up,mempalace]
                                      [--json]

Palaces of 2,000, 20,000 and 100,000 drawers are made through chromadb's client with vectors
passed in (three minutes; --palaces keeps them for another run). Each repair is of a copy, in a
process of its own. Ratios are to a bare hnswlib build of the same vectors (package
chroma-hnswlib, extra `benchmarks`), to embedding alone, and to `mempalace repair --mode
from-sqlite`, all in the same run. Exit status 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import palaces
from benchmarks.machine import describe_machine, measure, verdict
from mempalace_toolkit.index.check.report import check_index
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.index.repair.work import RepairSetting
from mempalace_toolkit.index.workers.embedding import Embed, palace_embedder
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.model.location import model_folder
from mempalace_toolkit.palace.location import PalaceLocation

SMALL, MIDDLE, LARGE = 2_000, 20_000, 100_000
ONE_PERCENT = 100
LARGE_RATIO = 0.65  # to a bare build on one thread, on two quiet cores
SAMPLE = 16  # what a repair embeds again to compare


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its bound; `detail` says what it was made of."""

    name: str
    value: float
    unit: str
    bound: float
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the bound holds."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        """For a person, within 80 columns."""
        sign = ">=" if self.at_least else "<="
        held = verdict(0 if self.met else 1, 0)
        told = f"{self.name}: {self.value:.2f} {self.unit} ({sign} {self.bound:g}: {held})"
        return f"{told}\n    {self.detail}" if self.detail else told


def main() -> int:
    """Measure, print, say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--palaces", type=Path)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repair", nargs=2, metavar=("PALACE", "EMBED"))
    options = parser.parse_args()
    if options.repair:
        return _repair(Path(options.repair[0]), options.repair[1])
    ensure(ModelRequest(cache=model_folder(Path.home())), lambda _: None)
    if not options.json:
        print(describe_machine(), flush=True)
    figures = []
    with tempfile.TemporaryDirectory(prefix="palace-index-", dir=options.palaces) as scratch:
        bench = Bench(options.palaces or Path(scratch), Path(scratch))
        for part in options.only.split(","):
            for figure in PARTS[part](bench):
                figures.append(figure)
                if not options.json:
                    print(figure.line(), flush=True)
    if options.json:
        print(json.dumps([{**asdict(one), "met": one.met} for one in figures], indent=2))
    return 0 if all(one.met for one in figures) else 1


@dataclass(frozen=True, slots=True)
class Bench:
    """Where whole palaces are kept, and where copies are broken."""

    kept: Path
    scratch: Path

    def whole(self, total: int) -> Path:
        """The palace of so many drawers, made once."""
        folder = self.kept / f"palace-{total}"
        if not folder.exists():
            half = self.kept / f"half-{total}"
            shutil.rmtree(half, ignore_errors=True)
            making = [sys.executable, "-m", "benchmarks.palaces", str(half), str(total)]
            assert measure(making, os.environ).code == 0
            half.rename(folder)
        return folder

    def copy(self, source: Path) -> Path:
        """A copy to break."""
        target = Path(tempfile.mkdtemp(dir=self.scratch)) / "palace"
        shutil.copytree(source, target)
        return target


def check_figures(bench: Bench) -> Iterator[Figure]:
    """The command `mempalace-toolkit check`, warm: the best of three.

    In a home without the embedding model: these vectors are of no text.
    """
    spent = {}
    environment = {**os.environ, "HOME": str(bench.scratch)}
    for total in (MIDDLE, LARGE):
        command = [*_command("check"), "--palace", str(bench.whole(total)), "--json"]
        runs = [measure(command, environment) for _ in range(4)][1:]
        assert all(run.code == 0 for run in runs), runs[0].out
        spent[total] = min(runs, key=lambda run: run.seconds)
    large = spent[LARGE]
    yield Figure(f"check of {LARGE:,} drawers", large.seconds, "s", 1.5)
    yield Figure("  its memory", large.megabytes, "MB", 350)
    growth = (large.seconds / LARGE) / (spent[MIDDLE].seconds / MIDDLE)
    yield Figure(f"  time a drawer, to that of {MIDDLE:,}", growth, "x", 1.1)


def rebuild_figures(bench: Bench) -> Iterator[Figure]:
    """Repairs of palaces whose links were lost; sample and proof included."""
    for total in (MIDDLE, LARGE):
        victim = bench.copy(bench.whole(total))
        palaces.break_graph(victim)
        told = _repaired(victim, "benchmark")
        bare = _bare_build(total)
        detail = f"repair {told['seconds']:.1f} s, bare hnswlib build {bare:.1f} s"
        bound = 3.0 if total == MIDDLE else LARGE_RATIO
        ratio = told["seconds"] / bare
        yield Figure(f"rebuild of {total:,} drawers", ratio, "x", bound, detail=detail)
        if total == LARGE:
            yield Figure("  its memory, all processes", told["megabytes"], "MB", 800)
        yield Figure("  drawers embedded beyond the sample", told["embedded"], "", 0)


def top_up_figures(bench: Bench) -> Iterator[Figure]:
    """1 % of the vectors are gone: a repair with the real model against embedding alone."""
    victim = bench.copy(bench.whole(LARGE))
    lost = palaces.drop_vectors(victim, ONE_PERCENT)
    told = _repaired(victim, "timed")
    beside = told["seconds"] / told["embed_seconds"] - 1
    detail = (
        f"{lost:,} drawers: {told['seconds']:.1f} s, of it embedding {told['embed_seconds']:.1f}"
    )
    yield Figure("top-up of 1 %, beside embedding", 100 * beside, "%", 5, detail=detail)
    yield Figure("  drawers embedded beyond those lost", told["embedded"] - lost, "", 0)


def mempalace_figures(bench: Bench) -> Iterator[Figure]:
    """MemPalace's own repair against ours, both as commands, both with the real model.

    MemPalace goes first: its repair gives the palace the real model's vectors.
    """
    victim = bench.copy(bench.whole(SMALL))
    palaces.break_graph(victim)
    theirs = measure(
        [
            str(Path(sys.executable).with_name("mempalace")),
            *("--palace", str(victim), "repair", "--mode", "from-sqlite"),
            *("--archive-existing", "--yes"),
        ],
        os.environ,
    )
    assert theirs.code == 0, theirs.out
    palaces.break_graph(victim)
    ours = measure([*_command("repair"), "--palace", str(victim), "--yes", "--json"], os.environ)
    answer = json.loads(ours.out)
    assert ours.code == 0, answer
    assert answer["repair"]["sound"], answer
    detail = f"mempalace {theirs.seconds:.1f} s, mempalace-toolkit {ours.seconds:.2f} s"
    ratio = theirs.seconds / ours.seconds
    yield Figure(f"faster than from-sqlite at {SMALL:,}", ratio, "x", 50, True, detail)


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "mempalace_toolkit.cli.toolkit", name]


def _repaired(palace: Path, embedding: str) -> dict[str, float]:
    spent = measure(
        [sys.executable, "-m", "benchmarks.palace_index", "--repair", str(palace), embedding],
        os.environ,
        whole_tree=True,
    )
    assert spent.code == 0, spent.out
    told: dict[str, float] = json.loads(spent.out.splitlines()[-1])
    return {**told, "megabytes": spent.megabytes}


def _repair(folder: Path, embedding: str) -> int:
    """Check, plan and repair in this process, as the command does; what it took, as JSON."""
    palace = PalaceLocation(folder, "chroma", "minilm")
    timed = _Timed(palace, os.environ)
    embed: Embed = timed if embedding == "timed" else palaces.embed
    began = time.monotonic()
    report = check_index(palace)
    plan = plan_repair(palace, report.findings, report.fingerprint)
    setting = RepairSetting(Path.home(), dict(os.environ), time.strftime("%Y%m%d-%H%M%S"), embed)
    result = repair_palace(palace, plan, setting)
    seconds = time.monotonic() - began
    assert result.sound, result.as_json()
    answer = {
        "seconds": seconds,
        "embed_seconds": timed.seconds,
        "embedded": sum(one.embedded for one in result.collections),
    }
    print(json.dumps(answer))
    return 0


class _Timed:
    """The real model's cost with the benchmark's vectors; only the lost drawers count."""

    def __init__(self, palace: PalaceLocation, environment: Mapping[str, str]) -> None:
        self._embed = palace_embedder(palace, environment)
        self.seconds = 0.0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert self._embed is not None
        began = time.monotonic()
        self._embed(texts)
        if len(texts) > SAMPLE:
            self.seconds += time.monotonic() - began
        return palaces.embed(texts)


def _bare_build(total: int) -> float:
    """Seconds that hnswlib alone takes on one thread, as chromadb does, with its settings."""
    hnswlib = importlib.import_module("hnswlib")
    index = hnswlib.Index("cosine", palaces.DIMENSION)
    index.init_index(total, ef_construction=100, M=16)
    index.set_num_threads(1)
    spent = 0.0
    for start, rows in palaces.blocks(total):
        began = time.monotonic()
        index.add_items(rows, np.arange(start, start + len(rows)))
        spent += time.monotonic() - began
    return spent


PARTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "check": check_figures,
    "rebuild": rebuild_figures,
    "top-up": top_up_figures,
    "mempalace": mempalace_figures,
}

if __name__ == "__main__":
    sys.exit(main())
