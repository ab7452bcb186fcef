"""What the pages of a session hold, read back from the spool, one session at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.mining.ledger import RecordedPage
from mempalace_toolkit.sessions.model import Turn
from mempalace_toolkit.transcripts.page_talk import read_turns
from mempalace_toolkit.transcripts.render import (
    LEAST_EXCHANGES,
    PAGE_EXCHANGES,
    cut_talk,
    split_exchanges,
    talk_digest,
)

_LONGEST = PAGE_EXCHANGES + LEAST_EXCHANGES - 1
"""Exchanges on the longest page."""


@dataclass(frozen=True, slots=True)
class Held:
    """The turns on a session's pages in their order, each with its page's path.

    `sealed` are pages whose text cannot be told: neither the spool has it nor the store. They
    stay as they are, in the palace too, for nobody can say what would go with them.
    """

    turns: tuple[Turn, ...] = ()
    pages: tuple[str, ...] = ()
    sealed: frozenset[str] = frozenset()


def holds_all(turns: Sequence[Turn], pages: Sequence[RecordedPage], known: int) -> bool:
    """Whether every page of a session says only what `turns` say.

    So it is where nothing changed, and where talk was only appended to the `known` first ones.
    """
    if not pages:
        return True
    for count in {len(turns), min(known, len(turns))}:
        digests = {number: cut.digest for number, cut in enumerate(cut_talk(turns[:count]), 1)}
        if all(digests.get(page.number) == page.digest for page in pages):
            return True
    return False


def read_held(spool: Path, pages: Sequence[RecordedPage], read: Sequence[Turn]) -> Held:
    """The text of a session's pages, from the spool or else from what was `read` of the store."""
    turns: list[Turn] = []
    paths: list[str] = []
    sealed: set[str] = set()
    for page in sorted(pages, key=lambda page: page.number):
        talk = _from_spool(spool / page.path, page.digest) or _from_talk(read, page.digest)
        if talk is None:
            sealed.add(page.path)
        else:
            turns += talk
            paths += [page.path] * len(talk)
    return Held(tuple(turns), tuple(paths), frozenset(sealed))


def _from_spool(file: Path, digest: str) -> Sequence[Turn] | None:
    try:
        turns = read_turns(file.read_bytes())
    except OSError:
        return None
    return turns if turns and talk_digest(turns) == digest else None


def _from_talk(turns: Sequence[Turn], digest: str) -> Sequence[Turn] | None:
    exchanges = split_exchanges(turns) if turns else []
    starts = [0]
    for exchange in exchanges:
        starts.append(starts[-1] + len(exchange))
    for first in range(len(exchanges)):
        for last in range(first + 1, min(first + _LONGEST, len(exchanges)) + 1):
            talk = turns[starts[first] : starts[last]]
            if talk_digest(talk) == digest:
                return talk
    return None
