"""Asks one palace many questions in one process, through MemPalace's own search function.

    python ask.py PALACE QUESTIONS.json HITS.json

QUESTIONS.json is a list of strings; HITS.json gets, for each, the first five hits as
`[file name, drawer text]`. A file and not stdout, since MemPalace prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HITS = 5


def ask(palace: str, questions: list[str]) -> list[list[tuple[str, str]]]:
    """The first hits of each question, best first."""
    from mempalace.searcher import search_memories  # type: ignore[attr-defined]  # it is exec'd in

    answers = []
    for question in questions:
        found = search_memories(question, palace_path=palace, n_results=HITS)
        if found.get("error"):
            raise SystemExit(f"search failed: {found['error']}")
        answers.append([(hit["source_file"], hit["text"]) for hit in found["results"][:HITS]])
    return answers


if __name__ == "__main__":
    palace, questions, hits = sys.argv[1:]
    found = ask(palace, json.loads(Path(questions).read_text("utf-8")))
    Path(hits).write_text(json.dumps(found), "utf-8")
