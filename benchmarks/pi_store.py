"""How fast a first dry run lists 10,000 pi sessions, beside a plain parse of every line.

    python -m benchmarks.pi_store [--sessions 10000] [--json]

Makes the store (some 210 MB). All ratios are in CPU seconds, to `orjson.loads` of every line of the
same files in the same run. Exit status 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import Spent, describe_machine, measure

MAKER = Path(__file__).with_name("generated") / "make_big.py"
RUNS = 3
BOUND = 3.0
MEGABYTES = 200
PARSE = (
    "import orjson, pathlib, sys\n"
    "for path in pathlib.Path(sys.argv[1]).rglob('*.jsonl'):\n"
    "    with path.open('rb') as lines:\n"
    "        for line in lines: orjson.loads(line)\n"
)


def main() -> int:
    """Measure, print, say whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pi-store-") as folder:
        figures = _measure(Path(folder), options.sessions)
    if options.json:
        print(json.dumps(figures))
    else:
        print(describe_machine())
        for name, value in figures.items():
            print(f"{name:24}{value:10.2f}")
    return 0 if figures["dry run, ratio"] <= BOUND and figures["megabytes"] <= MEGABYTES else 1


def _measure(folder: Path, sessions: int) -> dict[str, float]:
    store, home = folder / "store", folder / "home"
    home.mkdir()
    size = ["--sessions", str(sessions), "--messages", "2", "--seed", "1"]
    subprocess.run([sys.executable, MAKER, "pi", store, *size], check=True, capture_output=True)
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "MEMPALACE_BACKEND": "pgvector"}
    command = str(Path(sys.executable).with_name("mempalace-pi-session"))
    survey = [command, "--store", str(store), "--dry-run"]
    newest = [*survey, "--limit", "1"]
    parse = [sys.executable, "-c", PARSE, str(store)]
    runs: dict[str, list[Spent]] = {"parse": [], "survey": [], "newest": []}
    for _ in range(RUNS):  # in turn: other load strikes all alike
        for name, each in (("parse", parse), ("survey", survey), ("newest", newest)):
            runs[name].append(measure(each, environment))
    assert all(run.code == 0 for each in runs.values() for run in each)
    cpu = {name: sorted(run.cpu for run in each)[RUNS // 2] for name, each in runs.items()}
    return {
        "parse of every line, s": cpu["parse"],
        "dry run, ratio": cpu["survey"] / cpu["parse"],
        "dry run --limit 1, ratio": cpu["newest"] / cpu["parse"],
        "megabytes": max(run.megabytes for run in runs["survey"]),
    }


if __name__ == "__main__":
    sys.exit(main())
