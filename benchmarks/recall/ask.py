"""Asks one palace many questions in one process, by both of MemPalace's own searches.

    python ask.py PALACE QUESTIONS.json HITS.json

QUESTIONS.json is a list of strings. HITS.json gets, by search, a list with the first five hits
of each question as `[file name, drawer text]`. `command` is the function behind `mempalace
search`, which prints; `tool` the one behind its MCP server's search. They re-rank pools of
different sizes (15 and 20 drawers), so that they do not always show the same five.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import textwrap
from pathlib import Path

HITS = 5
PRINTED = re.compile(
    r"^  \[\d+\] .*\n      Source: (?P<file>.*)\n(?:      .*\n)*?      Match: .*\n\n"
    r"(?P<text>(?:.*\n)*?)\n  -{56}$",
    re.MULTILINE,
)


def ask_command(palace: str, question: str) -> list[tuple[str, str]]:
    """What `mempalace search` prints, read back."""
    from mempalace.searcher import search  # type: ignore[attr-defined]  # exec'd in

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        search(question, palace_path=palace, n_results=HITS)
    return [
        (match["file"], textwrap.dedent(match["text"]))
        for match in PRINTED.finditer(printed.getvalue())
    ]


def ask_tool(palace: str, question: str) -> list[tuple[str, str]]:
    """What MemPalace's MCP server answers an agent."""
    from mempalace.searcher import search_memories  # type: ignore[attr-defined]  # exec'd in

    found = search_memories(question, palace_path=palace, n_results=HITS)
    if found.get("error"):
        raise SystemExit(f"search failed: {found['error']}")
    return [(hit["source_file"], hit["text"]) for hit in found["results"][:HITS]]


SEARCHES = {"command": ask_command, "tool": ask_tool}


def main(palace: str, asked: Path, answered: Path) -> None:
    """Ask everything; SystemExit if a search gives fewer hits than there are to give."""
    questions = json.loads(asked.read_text("utf-8"))
    hits = {name: [ask(palace, q) for q in questions] for name, ask in SEARCHES.items()}
    for name, found in hits.items():
        if short := [q for q, each in zip(questions, found, strict=True) if len(each) != HITS]:
            raise SystemExit(f"{name}: not {HITS} hits for: {short[0]}")
    answered.write_text(json.dumps(hits), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
