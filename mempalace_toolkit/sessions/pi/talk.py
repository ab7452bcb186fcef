"""One pi session file read to the end: its turns, title, last time, and the lines it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mempalace_toolkit.errors import UnknownSchemaError
from mempalace_toolkit.sessions.model import StoreFinding, Turn
from mempalace_toolkit.sessions.pi.branch import live_branch, title_of, turns_of, updated_of
from mempalace_toolkit.sessions.pi.entries import (
    NEWEST_VERSION,
    Entry,
    complete_lines,
    entry_of,
    header_of,
    parse_line,
)
from mempalace_toolkit.sessions.pi.files import finding, shown

BUFFER = 256 << 10


@dataclass(frozen=True, slots=True)
class Talk:
    """What a session file says."""

    turns: tuple[Turn, ...]
    title: str
    updated: int
    findings: tuple[StoreFinding, ...]


@dataclass(slots=True)
class _Lines:
    """Line numbers of what was not as it should be."""

    skipped: list[int] = field(default_factory=list)
    mended: list[int] = field(default_factory=list)
    version: int = 0


def read_talk(path: Path, created: int, session: str) -> Talk:
    """Read a session file; `created` stands in for times that are not written.

    Raises OSError, and UnknownSchemaError where the file has no known version any more.
    """
    lines = _Lines()
    with path.open("rb", buffering=BUFFER) as stream:
        entries = list(_entries(stream, lines))
    if not 1 <= lines.version <= NEWEST_VERSION:
        raise UnknownSchemaError(
            f"{shown(path)} is no pi session of versions 1 to {NEWEST_VERSION} any more",
            "Run again; if it stays so, update mempalace-toolkit.",
        )
    branch = live_branch(entries, linear=lines.version == 1)
    turns = turns_of(branch.entries, created)
    notes = [
        ("malformed_row", _said(lines.skipped, "skipped: not a JSON object, or too long")),
        ("mended_row", _said(lines.mended, "mended: not valid UTF-8 or JSON as written")),
        ("broken_chain", branch.breaks and f"{branch.breaks} links between entries lead nowhere"),
        ("repeated_entry", branch.repeats and f"{branch.repeats} entries stand there again later"),
    ]
    findings = tuple(finding(kind, path, text, session) for kind, text in notes if text)
    return Talk(turns, title_of(entries, turns), updated_of(entries, created), findings)


def _entries(stream: BinaryIO, lines: _Lines) -> Iterator[Entry]:
    """The entries of the complete lines; `lines` takes note of the rest."""
    for number, line in enumerate(complete_lines(stream), 1):
        if line is not None and line.isspace():
            continue
        try:
            value, mended = (None, False) if line is None else parse_line(line)
        except ValueError:
            value, mended = None, False
        if not lines.version:
            header = header_of(value)
            lines.version = header.version if header else -1
            if header:
                continue
        entry = entry_of(value)
        if entry is None:
            lines.skipped.append(number)
            continue
        if mended:
            lines.mended.append(number)
        yield entry


def _said(numbers: list[int], what: str) -> str:
    if not numbers:
        return ""
    return f"{len(numbers)} lines {what} (the first is line {numbers[0]})"
