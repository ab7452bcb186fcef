"""What the pages of a session hold, read back from the spool, one session at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from mempalace_toolkit.ledger.records import RecordedPage
from mempalace_toolkit.sessions.model import Session, Turn
from mempalace_toolkit.transcripts.page_talk import read_turns
from mempalace_toolkit.transcripts.render import (
    LEAST_EXCHANGES,
    MOST_GENERATIONS,
    PAGE_EXCHANGES,
    cut_talk,
    page_mtime_ms,
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


def adopt_pages(
    spool: Path, strangers: Sequence[tuple[str, int]], agent: str, session: Session
) -> list[RecordedPage]:
    """Records for pages that a palace holds of a session and that a lost ledger knew.

    `strangers` are their paths and times. The time is a function of the talk, so it proves
    what is on a page. Where nothing matches, the digest stays empty, which no talk has.
    """
    digests: dict[int, str] = {}
    if strangers:
        for talk in _windows(session.turns):
            digest = talk_digest(talk)
            for generation in range(MOST_GENERATIONS + 1):
                digests[page_mtime_ms(digest, talk[-1].time, generation)] = digest
    pages = []
    for path, mtime_ms in strangers:
        digest = digests.get(mtime_ms) or _digest_in(spool / path, mtime_ms)
        folder, _, name = path.rpartition("/")
        number = int(name.removesuffix(".jsonl").rpartition("--")[2])
        pages.append(RecordedPage(path, agent, session.ref.id, folder, number, digest, mtime_ms))
    return pages


def _digest_in(file: Path, mtime_ms: int) -> str:
    try:
        kept = file.stat().st_mtime_ns // 1_000_000
        turns = read_turns(file.read_bytes()) if kept == mtime_ms else None
    except OSError:
        return ""
    return talk_digest(turns) if turns else ""


def _from_spool(file: Path, digest: str) -> Sequence[Turn] | None:
    try:
        turns = read_turns(file.read_bytes())
    except OSError:
        return None
    return turns if turns and talk_digest(turns) == digest else None


def _from_talk(turns: Sequence[Turn], digest: str) -> Sequence[Turn] | None:
    return next((talk for talk in _windows(turns) if talk_digest(talk) == digest), None)


def _windows(turns: Sequence[Turn]) -> Iterator[Sequence[Turn]]:
    """Every run of exchanges that a page may hold."""
    exchanges = split_exchanges(turns) if turns else []
    starts = [0, *accumulate(map(len, exchanges))]
    for first in range(len(exchanges)):
        for last in range(first + 1, min(first + _LONGEST, len(exchanges)) + 1):
            yield turns[starts[first] : starts[last]]
