"""Run as a child: one search by MemPalace's own searcher, asked and answered in JSON.

`python -m mempalace_toolkit.recall.child_search` reads {"palace", "query", "wing", "results"} on
stdin and writes what `mempalace.searcher.search_memories` returns to stdout. Whatever MemPalace
and chromadb print goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    """Answer the question on stdin."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    search = importlib.import_module("mempalace.searcher").search_memories
    found = search(asked["query"], asked["palace"], wing=asked["wing"], n_results=asked["results"])
    with answer:
        json.dump(found, answer, default=str)


if __name__ == "__main__":
    main()
