"""Asks a palace a question through MemPalace's own search, in a child process.

MemPalace decides what is found, and in which order. Where it can, the toolkit reads the palace
for it, which takes a third of the time; else MemPalace reads it through chromadb.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mempalace_toolkit.children import CHILD_FOLDER, own_command, settled
from mempalace_toolkit.errors import MempalaceError, NoPalaceError
from mempalace_toolkit.palace.location import PalaceLocation

TOOLKIT, MEMPALACE = "toolkit", "mempalace"
"""Who reads the palace."""

SEARCH_SECONDS = 300.0
"""How long a search may take; a cold one of 100,000 drawers takes some seconds."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the words, the wing to look in (None: all), and how many hits at most."""

    words: str
    wing: str | None = None
    results: int = 5


@dataclass(frozen=True, slots=True)
class FoundDrawer:
    """One drawer that MemPalace found.

    `text` is the drawer verbatim. `source` is the path of the file that it was mined from, as
    the palace stores it. `said` is an ISO time or empty. `similarity` goes from 0 to 1, None
    where only words matched.
    """

    drawer: str
    text: str
    wing: str
    room: str
    source: str
    said: str
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """The drawers that answer a question, the best first, as MemPalace ranks them.

    `reader` is who read the palace: TOOLKIT or MEMPALACE; `reason` why it was MemPalace.
    """

    drawers: tuple[FoundDrawer, ...]
    reader: str
    reason: str = ""


def search_palace(
    palace: PalaceLocation, question: Question, environment: Mapping[str, str]
) -> Found:
    """Search a palace.

    Raises NoPalaceError where there is nothing to search, and MempalaceError where MemPalace
    cannot search it.
    """
    if palace.has_hnsw_index and not palace.database.is_file():
        raise NoPalaceError(
            f"{palace.path}: there is no palace here yet",
            "file your sessions first: mempalace-session, mempalace-pi-session",
        )
    reason = _unfit(palace)
    if not reason:
        answer = _ask(palace, question, TOOLKIT, environment)
        if answer is not None and "not_possible" not in answer:
            return Found(_drawers(answer), TOOLKIT)
        reason = "the search ended early" if answer is None else str(answer["not_possible"])
    answer = _ask(palace, question, MEMPALACE, environment)
    return Found(_drawers(answer or {}), MEMPALACE, reason)


def _unfit(palace: PalaceLocation) -> str:
    """Why the toolkit cannot read this palace, seen from its settings alone."""
    if not palace.has_hnsw_index:
        return f"the palace is kept in {palace.backend}"
    if palace.embedding_model != "minilm":
        return f"the embedding model is {palace.embedding_model}"
    return ""


def _ask(
    palace: PalaceLocation, question: Question, reader: str, environment: Mapping[str, str]
) -> Mapping[str, Any] | None:
    """The child's answer; None where the toolkit's reader died. Raises MempalaceError."""
    asked = {
        "palace": str(palace.path),
        "query": question.words,
        "wing": question.wing,
        "results": question.results,
        "reader": reader,
    }
    try:
        ended = subprocess.run(
            own_command("recall.child_search"),
            cwd=CHILD_FOLDER,
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=SEARCH_SECONDS,
            env={**settled(environment), **_MEMORY_USED_AGAIN},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MempalaceError(f"MemPalace's search could not be run: {error}", _CHECK) from error
    if ended.returncode != 0 and reader == TOOLKIT:
        return None
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise MempalaceError(f"MemPalace's search failed: {said[0]}", _CHECK)
    answer: Mapping[str, Any] = json.loads(ended.stdout)
    return answer


# glibc gives large blocks back to the system and takes others, each page of which costs time
# again: a tenth of a second while the model is loaded. Elsewhere this says nothing.
_MEMORY_USED_AGAIN = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}
_CHECK = "see whether the palace is sound: mempalace-toolkit check"


def _drawers(answer: Mapping[str, Any]) -> tuple[FoundDrawer, ...]:
    if answer.get("error"):
        raise MempalaceError(f"MemPalace's search failed: {answer['error']}", _CHECK)
    hits: Sequence[Mapping[str, Any]] = answer.get("results") or ()
    return tuple(
        FoundDrawer(
            drawer=str(hit.get("drawer_id") or ""),
            text=str(hit.get("text") or ""),
            wing=str(hit.get("wing") or ""),
            room=str(hit.get("room") or ""),
            source=str(hit.get("source_path") or hit.get("source_file") or ""),
            said=str(hit.get("authored_at") or ""),
            similarity=hit.get("similarity"),
        )
        for hit in hits
    )
