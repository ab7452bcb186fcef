"""How fast a large opencode store is read, planned and written as pages, and in what memory.

    python -m benchmarks.big_store [--database FILE] [--sessions 2200] [--json]

Makes the store (1.9 GB with the default size) unless it is given one. All ratios are in CPU
seconds, to a warm `select sum(length(data)) from part` of the same database in the same run; of
several runs the least counts. Exit status 1 if a bound is missed. Nothing is embedded: for the
unchanged run the pages count as mined.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import Spent, describe_machine, measure, verdict
from mempalace_toolkit.cli.output.progress import Quiet
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.filing import key_of
from mempalace_toolkit.model.ensure import ModelRequest
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.pipeline import PalaceRequest, RunRequest, signed, write_pages
from mempalace_toolkit.report.values import RunReport
from mempalace_toolkit.sessions import opencode

MAKER = Path(__file__).with_name("generated") / "make_big.py"
RUNS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure in CPU seconds; `ratio` is to the raw scan, None where absolute.

    `before` is what it was before the work of issue 7, in the unit of the bound.
    """

    name: str
    seconds: float
    ratio: float | None
    bound: float
    megabytes: float
    megabyte_bound: float
    before: float | None = None

    @property
    def met(self) -> bool:
        """Whether both bounds hold."""
        told = self.seconds if self.ratio is None else self.ratio
        return told <= self.bound and self.megabytes <= self.megabyte_bound


def main() -> int:
    """Measure, print, say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", type=Path)
    parser.add_argument("--sessions", type=int, default=2200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-pages", nargs=2, metavar=("DATABASE", "DATA"))
    options = parser.parse_args()
    if options.write_pages:
        _write_all(*map(Path, options.write_pages))
        return 0
    with tempfile.TemporaryDirectory(prefix="big-store-") as folder:
        database = options.database or _make(Path(folder), options.sessions)
        figures, raw = _measure(database.absolute(), Path(folder))
    if options.json:
        print(json.dumps({"raw_scan": raw, "figures": [asdict(figure) for figure in figures]}))
    else:
        print(_table(figures, raw))
    return 0 if all(figure.met for figure in figures) else 1


def _make(folder: Path, sessions: int) -> Path:
    database = folder / "opencode.db"
    size = ["--sessions", str(sessions), "--messages", "50", "--seed", "11"]
    subprocess.run([sys.executable, MAKER, "opencode", database, *size], check=True)
    return database


def _measure(database: Path, folder: Path) -> tuple[list[Figure], float]:
    home = folder / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "MEMPALACE_BACKEND": "pgvector"}
    command = [str(Path(sys.executable).with_name("mempalace-session"))]
    data = home / ".local/share/mempalace-toolkit"
    survey = [*command, "--store", str(database), "--dry-run"]
    scans: list[float] = []
    first: list[Spent] = []
    written: list[Spent] = []
    for _ in range(RUNS):
        scans.append(_raw_scan(database))
        first.append(measure(survey, environment))
    for _ in range(RUNS):
        scans.append(_raw_scan(database))
        if data.exists():  # put aside: deleting 26,000 files slows what comes after
            data.rename(folder / f"written-{len(written)}")
        own = [sys.executable, "-m", "benchmarks.big_store", "--write-pages"]
        written.append(measure([*own, str(database), str(data)], environment))
    unchanged = [measure(survey, environment) for _ in range(RUNS)]
    assert "2200 unchanged" in unchanged[0].out or "unchanged" in unchanged[0].out.splitlines()[-2]
    floor = [sys.executable, "-c", "import typer"]  # what any command that uses typer costs
    short = {"floor": floor, "help": [*command, "--help"], "empty": command}
    runs = {name: [measure(each, environment) for _ in range(9)] for name, each in short.items()}
    raw = min(scans)
    return [
        _figure("first --dry-run", first, raw, 3, 200, 6.1),
        _figure("read and write all pages", written, raw, 8, 250),
        _figure("unchanged --dry-run", unchanged, None, 0.7, 120),
        _figure("(import typer)", runs["floor"], None, 9, 120),
        _figure("--help", runs["help"], None, 0.12, 120, 0.14),
        _figure("no store", runs["empty"], None, 0.2, 120, 0.37),
    ], raw


def _figure(
    name: str,
    runs: list[Spent],
    raw: float | None,
    bound: float,
    room: float,
    before: float | None = None,
) -> Figure:
    assert all(run.code == 0 for run in runs), name
    seconds = min(run.cpu for run in runs)
    ratio = seconds / raw if raw else None
    megabytes = max(run.megabytes for run in runs)
    return Figure(name, seconds, ratio, bound, megabytes, room, before)


def _raw_scan(database: Path) -> float:
    with sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True) as connection:
        start = time.process_time()
        connection.execute("select sum(length(data)) from part").fetchone()
        return time.process_time() - start


def _write_all(database: Path, data: Path) -> None:
    """Read everything, write all pages, and count them as mined."""
    palace = PalaceLocation(Path("~").expanduser() / ".config/mempalace/palace", "pgvector", "")
    request = RunRequest(
        PalaceRequest(
            command="benchmark",
            palace=palace,
            data=data,
            home=data,
            model=ModelRequest(cache=data),
            environment={},
            now_ms=time.time_ns() // 1_000_000,
            stamp="20260101-000000",
        ),
        agent="opencode",
    )
    report = RunReport("benchmark", str(palace.path))
    with (
        opencode.open_store([database]) as store,
        Ledger.open(request.target.ledger, "broken") as ledger,
    ):
        key, signature = signed(store, request)
        write_pages(store, ledger, request, Quiet(), report)
        with ledger.writing():
            for folder in ledger.folders_to_mine(key_of(palace)):
                ledger.trust_mined(key_of(palace), folder)
            ledger.record_signature(key, request.agent, signature)


def _table(figures: list[Figure], raw: float) -> str:
    lines = [describe_machine(), f"raw scan: {raw:.2f} CPU s (warm)", ""]
    lines.append(f"{'':26}{'CPU s':>8}{'x scan':>8}{'before':>8}{'bound':>7}{'MB':>6}{'bound':>7}")
    for one in figures:
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        before = "" if one.before is None else f"{one.before:g}"
        unit = "s" if one.ratio is None else "x"
        lines.append(
            f"{one.name:26}{one.seconds:8.2f}{ratio:>8}{before:>8}{one.bound:6g}{unit}{one.megabytes:6.0f}"
            f"{one.megabyte_bound:7.0f}  {verdict(0 if one.met else 1, 0)}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
