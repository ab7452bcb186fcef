"""The order of filing: newest sessions first, so that a run that is interrupted leaves them there.

A large first run is cut into batches, each embedded and filed before the next; of a batch the
newest pages of all wings go first. Every cut costs starts of MemPalace, so they are few: about
one part in twenty of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.filing import key_of
from mempalace_toolkit.pipeline.request import RunRequest

FIRST_BYTES = 400_000
"""Of pages in the first batch: some 450 drawers, 20 seconds on two cores."""

GROWTH = 5
MOST_BYTES = 8_000_000
"""Of pages in a batch: some ten minutes, after which the talk in it can be searched."""

_FIRST_ROUND_BYTES = 30_000
_ROUND_GROWTH = 4
_BYTES_A_CALL = 100_000
"""One more call of MemPalace costs 0.3 s of processor time, so many bytes of pages 6 s."""

Round = Mapping[str, Sequence[str]]
"""Pages to mine before those of the next round: their names by folder."""


@dataclass(frozen=True, slots=True)
class WaitingPage:
    """A page that the palace lacks: its folder, its path in the spool, its size in bytes."""

    folder: str
    path: str
    size: int


Batch = Sequence[WaitingPage]


def waiting_pages(ledger: Ledger, request: RunRequest) -> list[WaitingPage]:
    """This agent's pages that the palace lacks, those of the newest session first."""
    labels = (request.agent, f"{request.agent}-subagent")
    found = []
    for folder, path in ledger.pages_to_mine(key_of(request.target.palace)):
        if folder.partition("/")[0] in labels:
            size = 0
            with suppress(OSError):
                size = (request.target.spool / path).stat().st_size
            found.append(WaitingPage(folder, path, size))
    return found


def can_split(request: RunRequest) -> bool:
    """Whether single pages of a folder can be filed: by our own MemPalace, into chromadb."""
    own = request.mempalace is None and request.server is None
    return own and request.target.palace.has_hnsw_index


def plan_batches(pages: Sequence[WaitingPage], request: RunRequest) -> list[Batch]:
    """The pages in batches; one batch where they are few, or MemPalace is not our own."""
    if not can_split(request):
        return [pages] if pages else []
    batches: list[Batch] = []
    rest, size = list(pages), FIRST_BYTES
    while rest:
        taken = _prefix(rest, size)
        left = sum(page.size for page in rest[taken:])
        if left < size:  # too little to start all over for
            taken = len(rest)
        batches.append(rest[:taken])
        rest, size = rest[taken:], min(size * GROWTH, MOST_BYTES)
    return batches


def plan_rounds(batch: Batch, split: bool) -> list[Round]:
    """The batch in rounds over the wings, the newest pages in the first; without `split` in one."""
    rounds: list[Batch] = []
    rest, size = list(batch), _FIRST_ROUND_BYTES
    calls = sum(page.size for page in batch) // _BYTES_A_CALL if split else 0
    while rest and calls > 0:
        taken = _prefix(rest, size, calls)
        folders = {page.folder for page in rest[:taken]}
        rounds.append(rest[:taken])
        calls -= len(folders & {page.folder for page in rest[taken:]})
        rest, size = rest[taken:], size * _ROUND_GROWTH
    if rest:
        rounds.append(rest)
    return [_by_folder(one) for one in rounds]


def _prefix(pages: Sequence[WaitingPage], size: int, folders: int | None = None) -> int:
    """How many of the first pages have this size together, and at most so many folders."""
    total, seen = 0, set()
    for number, page in enumerate(pages):
        seen.add(page.folder)
        if (total >= size or (folders is not None and len(seen) > folders)) and number:
            return number
        total += page.size
    return len(pages)


def _by_folder(pages: Sequence[WaitingPage]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for page in pages:
        found.setdefault(page.folder, []).append(page.path.rpartition("/")[2])
    return found
