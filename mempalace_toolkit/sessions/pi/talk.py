"""One pi session file read to the end: its turns, title, last time, and the lines it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mempalace_toolkit.errors import UnknownSchemaError
from mempalace_toolkit.sessions.model import Mark, StoreFinding, Turn
from mempalace_toolkit.sessions.pi.branch import find_branches
from mempalace_toolkit.sessions.pi.entries import (
    NEWEST_VERSION,
    Entry,
    entry_of,
    header_of,
    is_entry,
    passed_by,
)
from mempalace_toolkit.sessions.pi.files import finding, shown
from mempalace_toolkit.sessions.pi.lines import lines_of, records_on
from mempalace_toolkit.sessions.pi.turns import title_of, turns_of, updated_of, withdrawn_of


@dataclass(frozen=True, slots=True)
class Talk:
    """What a session file says. `elsewhere` are its visible messages that are not its turns."""

    turns: tuple[Turn, ...]
    title: str
    updated: int
    findings: tuple[StoreFinding, ...] = ()
    withdrawn: Mapping[Mark, str] = field(default_factory=dict)
    elsewhere: tuple[Turn, ...] = ()


@dataclass(slots=True)
class _Lines:
    """Line numbers of what was not as it should be; `version` is 0 until the header was read."""

    skipped: list[int] = field(default_factory=list)
    mended: list[int] = field(default_factory=list)
    version: int = 0


def read_talk(path: str, created: int, session: str) -> Talk:
    """Read a session file; `created` stands in for times that are not written.

    Raises OSError, and UnknownSchemaError where the file has no known version any more.
    """
    lines = _Lines()
    entries = list(_entries(lines_of(path), lines))
    if not entries and not lines.version:
        lines.version = -1
    linear = lines.version == 1 or (not lines.version and not any(e.id for e in entries))
    if not 0 <= lines.version <= NEWEST_VERSION:
        raise UnknownSchemaError(
            f"{shown(path)} is not a pi session of versions 1 to {NEWEST_VERSION} any more",
            "Run again; if it stays so, update mempalace-toolkit.",
        )
    branches = find_branches(entries, linear)
    turns = turns_of(branches.said, created)
    notes = [
        ("malformed_row", _said(lines.skipped, "skipped: not a complete JSON object, or too long")),
        ("mended_row", _said(lines.mended, "mended: not valid UTF-8 or JSON as written")),
        ("broken_chain", branches.breaks and f"{branches.breaks} links between entries are broken"),
        ("repeated_entry", branches.repeats and f"{branches.repeats} entries are repeated"),
    ]
    return Talk(
        turns,
        title_of(entries, turns),
        updated_of(entries, created),
        tuple(finding(kind, path, text, session) for kind, text in notes if text),
        withdrawn_of(branches, turns),
        turns_of(branches.left, created),
    )


def _entries(written: Iterable[bytes | None], lines: _Lines) -> Iterator[Entry]:
    """The entries of the complete lines; `lines` takes note of the rest."""
    for number, line in enumerate(written, 1):
        if line is None:
            lines.skipped.append(number)
        elif entry := passed_by(line, lines.version):
            yield entry
        elif line and not line.isspace():
            records, mended, torn = records_on(line)
            for record in records:
                if not lines.version and (header := header_of(record)):
                    lines.version = header.version or -1
                    mended = False
                elif entry := entry_of(record) if lines.version or is_entry(record) else None:
                    yield entry
                else:
                    torn = True
            if mended:
                lines.mended.append(number)
            if torn:
                lines.skipped.append(number)


def _said(numbers: list[int], what: str) -> str:
    if not numbers:
        return ""
    return f"{len(numbers)} lines {what} (the first is line {numbers[0]})"
