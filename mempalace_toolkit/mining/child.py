"""Run as a child: MemPalace's own command, once for each argument list on stdin.

`python -m mempalace_toolkit.mining.child RESULT_FD VECTORS` reads a JSON list of argument lists
and writes a JSON line for each to RESULT_FD: its place in the list and MemPalace's exit code.
Vectors that were made ahead are taken from the folder VECTORS, where that is named.
Starting MemPalace takes 1.7 s, which this pays once for all wings. A native crash ends this
process alone; the results written until then stand.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mempalace_toolkit.mining.kept_forward import Tally


def main() -> None:
    """Run every argument list, whatever becomes of the ones before it."""
    end_with_parent()
    results, vectors = int(sys.argv[1]), sys.argv[2]
    jobs: list[list[str]] = json.load(sys.stdin)
    run = importlib.import_module("mempalace.cli").main
    tally = _take_vectors(Path(vectors)) if vectors else None
    for number, arguments in enumerate(jobs):
        sys.argv = ["mempalace", *arguments]
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


def _take_vectors(folder: Path) -> Tally | None:
    """Have MemPalace find vectors there; it embeds everything itself where that fails."""
    try:
        from mempalace_toolkit.mining.kept_forward import take_kept_vectors

        return take_kept_vectors(folder, Path.home())
    except Exception:
        traceback.print_exc()
        return None


def end_with_parent() -> None:
    """Have Linux end this process when its parent dies, so that no mine is left alone."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


if __name__ == "__main__":
    main()
