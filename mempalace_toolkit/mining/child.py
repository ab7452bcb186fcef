"""Run as a child: MemPalace's own command, once for each argument list on stdin.

`python -m mempalace_toolkit.mining.child RESULT_FD VECTORS` reads a JSON list of calls,
each with its arguments and the names of the pages to file (none: all of the folder), and writes a
JSON line for each to RESULT_FD: its place in the list and MemPalace's exit code.
Vectors that were made ahead are taken from the folder VECTORS, where that is named.
Starting MemPalace takes 1.7 s, which this pays once for all wings. A native crash ends this
process alone; the results written until then stand.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mempalace_toolkit.children import end_with_parent

if TYPE_CHECKING:
    from mempalace_toolkit.mining.kept_forward import Tally


def main() -> None:
    """Run every argument list, whatever becomes of the ones before it."""
    end_with_parent(signal.SIGTERM)
    results, vectors = int(sys.argv[1]), sys.argv[2]
    calls: list[dict[str, list[str]]] = json.load(sys.stdin)
    run = importlib.import_module("mempalace.cli").main
    tally = _take_vectors(Path(vectors)) if vectors else None
    for number, call in enumerate(calls):
        sys.argv = ["mempalace", *call["arguments"]]
        with only_pages(call["pages"]):
            code = _run_one(run)
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(results, json.dumps({"job": number, "code": code}).encode() + b"\n")
    if tally:
        print(
            f"vectors: {tally.found} computed in advance, {tally.made} computed by MemPalace",
            flush=True,
        )


def _run_one(run: object) -> int:
    try:
        run()  # type: ignore[operator]
    except SystemExit as end:
        if isinstance(end.code, int) or end.code is None:
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def only_pages(names: Sequence[str]) -> Iterator[None]:
    """Have MemPalace find only these pages in a folder, in this order; without names all.

    A MemPalace that lists its files in another way finds all of them, which files more at once.
    """
    miner = importlib.import_module("mempalace.convo_miner") if names else None
    listed = getattr(miner, "scan_convos", None)
    if miner is None or listed is None:
        yield
        return
    places = {name: place for place, name in enumerate(names)}

    def scan(*arguments: Any, **options: Any) -> list[Path]:
        found = [path for path in listed(*arguments, **options) if path.name in places]
        return sorted(found, key=lambda path: places[path.name])

    miner.scan_convos = scan  # type: ignore[attr-defined]
    try:
        yield
    finally:
        miner.scan_convos = listed  # type: ignore[attr-defined]


def _take_vectors(folder: Path) -> Tally | None:
    """Have MemPalace find vectors there; it embeds everything itself where that fails."""
    try:
        from mempalace_toolkit.mining.kept_forward import take_kept_vectors

        return take_kept_vectors(folder, Path.home())
    except Exception:
        traceback.print_exc()
        return None


if __name__ == "__main__":
    main()
