"""Shows what a search found to a person."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mempalace_toolkit.recall.sources import Hit

MOST_LINES = 8
"""Lines of a drawer that a person is shown; --json has the whole."""


def hits_text(hits: Sequence[Hit], palace: str, width: int) -> str:
    """Each hit with its session and the command that resumes it, `width` columns wide."""
    if not hits:
        return f"Nothing in {palace} answers that."
    return "\n\n".join(_hit_text(number, hit, width) for number, hit in enumerate(hits, 1))


def _hit_text(number: int, hit: Hit, width: int) -> str:
    found = hit.drawer
    shown = (
        f"{number}.",
        hit.title or "(no title)",
        f"[{found.wing}]",
        hit.agent,
        found.said[:10],
        "" if found.similarity is None else f"similarity {found.similarity:.2f}",
    )
    head = "  ".join(part for part in shown if part)
    width = max(40, min(width, 100))
    lines = [
        line
        for paragraph in _printable(found.text).splitlines()
        for line in textwrap.wrap(paragraph, width - 3) or [""]
    ]
    body = lines[:MOST_LINES] + (["…"] if len(lines) > MOST_LINES else [])
    tail = [f"   {hit.resume}"] if hit.resume else []
    return "\n".join([_printable(head), *(f"   {line}".rstrip() for line in body), *tail])


def _printable(text: str) -> str:
    """`text` without the characters that a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
