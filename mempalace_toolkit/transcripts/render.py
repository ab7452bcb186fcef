"""A session's turns as pages: which exchanges a page holds, its bytes, its name, its time.

All pure. A page is JSONL in the one shape MemPalace 3.11 reads together with dates: a
`session` header with a version, then a `message` line a turn with an ISO timestamp.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import orjson

from mempalace_toolkit.sessions.model import Turn

PAGE_EXCHANGES = 4
"""Exchanges on a full page. Pages of 4 and of 8 are found equally well (measured over 367
questions); the smaller page means less to embed again when a session grows."""

LEAST_EXCHANGES = 3
"""MemPalace cuts a file with fewer user turns by paragraph, and question and answer part."""

OFFSET_STEPS = 1_800_000
OFFSET_STEP_MS = 2
"""MemPalace takes two mtimes less than 1 ms apart for equal, so offsets go in steps of 2 ms,
over one hour."""

GENERATION_MS = OFFSET_STEPS * OFFSET_STEP_MS

MOST_GENERATIONS = 3
"""How often a page is shown to MemPalace again after it was taken for a duplicate."""

_LAST_MS = 253_402_300_799_999
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Cut:
    """What belongs on one page.

    `digest` names the talk alone (roles and texts), which is what MemPalace compares when it
    looks for duplicates.
    """

    turns: tuple[Turn, ...]
    exchanges: int
    digest: str


@dataclass(frozen=True, slots=True)
class PageHeader:
    """What all pages of a session say of it: its id, where the agent worked, who it was."""

    session: str
    directory: str
    label: str


@dataclass(frozen=True, slots=True)
class Page:
    """One file of a transcript; `mtime_ms` is a function of its talk and its last time alone."""

    name: str
    number: int
    content: bytes
    digest: str
    mtime_ms: int


def split_exchanges(turns: Sequence[Turn]) -> list[Sequence[Turn]]:
    """Cut before every user turn; what an assistant says first is an exchange of its own."""
    starts = [i for i, turn in enumerate(turns) if turn.role == "user" or i == 0]
    return [turns[a:b] for a, b in pairwise([*starts, len(turns)])]


def page_lengths(exchanges: int, size: int = PAGE_EXCHANGES) -> list[int]:
    """How many exchanges each page holds: full pages, and a last one of 3 to 6.

    A remainder too short for a page of its own stays on the page before it, so that an
    appended exchange changes the last page only.
    """
    if exchanges <= 0:
        return []
    full, rest = divmod(exchanges, size)
    lengths = [size] * full
    if rest >= LEAST_EXCHANGES or not lengths:
        return [*lengths, rest] if rest else lengths
    lengths[-1] += rest
    return lengths


def cut_talk(turns: Sequence[Turn], size: int = PAGE_EXCHANGES) -> list[Cut]:
    """A session's turns, page by page of `size` exchanges; empty where there are none."""
    exchanges = split_exchanges(turns)
    cuts, start, first = [], 0, 0
    for length in page_lengths(len(exchanges), size):
        last = first + sum(map(len, exchanges[start : start + length]))
        talk = tuple(turns[first:last])
        cuts.append(Cut(talk, length, talk_digest(talk)))
        start, first = start + length, last
    return cuts


def session_digest(cuts: Sequence[Cut]) -> str:
    """Thirty-two hex digits that name all that is said on these pages."""
    return blake2b("".join(cut.digest for cut in cuts).encode(), digest_size=16).hexdigest()


def render_page(header: PageHeader, number: int, cut: Cut) -> Page:
    """Page `number`, counted from 1, of a session's transcript."""
    first = {
        "type": "session",
        "version": 3,
        "id": header.session,
        "timestamp": iso_time(cut.turns[0].time),
        "cwd": header.directory,
        "agent": header.label,
        "page": number,
    }
    lines = [orjson.dumps(first), *map(_message_line, cut.turns), b""]
    return Page(
        name=page_name(header.label, header.session, number),
        number=number,
        content=b"\n".join(lines),
        digest=cut.digest,
        mtime_ms=page_mtime_ms(cut.digest, cut.turns[-1].time),
    )


def _message_line(turn: Turn) -> bytes:
    return orjson.dumps(
        {
            "type": "message",
            "timestamp": iso_time(turn.time),
            "message": {"role": turn.role, "content": [{"type": "text", "text": turn.text}]},
        }
    )


def talk_digest(turns: Sequence[Turn]) -> str:
    """Thirty-two hex digits that name the roles and texts of `turns`, in order."""
    pieces = []
    for turn in turns:
        text = turn.text.encode("utf-8", "replace")
        pieces.append(b"%c%d:" % (turn.role[0].encode(), len(text)))
        pieces.append(text)
    return blake2b(b"".join(pieces), digest_size=16).hexdigest()


def page_mtime_ms(digest: str, last_time: int, generation: int = 0) -> int:
    """The page's modification time: its last turn's, moved by up to an hour by its talk.

    Being a function of the content, it comes out the same when a lost spool is written
    again, and different when the talk changed under an unchanged last turn. A higher
    `generation` makes MemPalace read an unchanged page once more.
    """
    offset = int(digest[:12], 16) % OFFSET_STEPS * OFFSET_STEP_MS
    return bounded_time(last_time) + offset + generation * GENERATION_MS


def iso_time(milliseconds: int) -> str:
    """`2026-11-21T01:02:03.456Z`; times before 1970 and after 9999 are moved to the edge."""
    day, rest = divmod(bounded_time(milliseconds), 86_400_000)
    seconds, thousandths = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(day)}T{hour:02}:{minute:02}:{second:02}.{thousandths:03}Z"


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def bounded_time(milliseconds: int) -> int:
    """A turn's time as a page can tell it: from 1970 to 9999."""
    return min(max(milliseconds, 0), _LAST_MS)


def page_name(label: str, session: str, number: int) -> str:
    """`opencode--ses_2f…--0003.jsonl`: agent, session and page, to trace a search hit by."""
    return f"{label}--{file_safe(session)}--{number:04d}.jsonl"


def file_safe(identifier: str) -> str:
    """`identifier` as part of a file name: other characters as %XX, long ones shortened."""
    safe = _UNSAFE.sub(lambda m: "".join(f"%{b:02X}" for b in _bytes(m[0])), identifier)
    if len(safe) > 120:
        return f"{safe[:80]}-{blake2b(_bytes(identifier), digest_size=8).hexdigest()}"
    return safe or "%"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
