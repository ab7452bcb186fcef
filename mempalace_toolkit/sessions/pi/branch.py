"""From a pi session's entries to what was said: the live branch of the tree, its turns, its title.

pi only appends. Going back in a session and typing starts another branch; the branch that is
live is the way from the file's last entry to the root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mempalace_toolkit.sessions.model import Turn
from mempalace_toolkit.sessions.pi.entries import Entry

TITLE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Branch:
    """The live entries, root first. `breaks` counts links that led nowhere or in a circle."""

    entries: tuple[Entry, ...]
    breaks: int = 0
    repeats: int = 0


def live_branch(entries: Sequence[Entry], linear: bool) -> Branch:
    """The way from the last entry to the root; a `linear` file (version 1) has no branches.

    Where a link is missing or broken, the way goes on with the entry before it in the file: a
    lost line was most likely written between the two. Of entries with one id the last counts.
    """
    if linear:
        return Branch(tuple(entries))
    place = {entry.id: position for position, entry in enumerate(entries) if entry.id}
    passed = bytearray(len(entries))
    for position, entry in enumerate(entries):
        if entry.id and place[entry.id] != position:
            passed[position] = 1
    repeats = sum(passed)
    way: list[Entry] = []
    breaks, position = 0, len(entries) - 1
    while position >= 0:
        entry = entries[position]
        way.append(entry)
        passed[position] = 1
        if entry.parent is None:
            break
        target = place.get(entry.parent, -1) if entry.parent else -1
        if target < 0 or passed[target]:
            breaks += 1
            target = passed.rfind(0, 0, position)
        position = target
    return Branch(tuple(reversed(way)), breaks, repeats)


def turns_of(branch: Iterable[Entry], created: int) -> tuple[Turn, ...]:
    """The visible turns of a branch; `created` stands in where no time was written.

    An entry that a later one takes back is dropped: pi does so with an answer that it then
    asks for again, so that the answer would stand twice. Of several edits the last counts.
    """
    branch = tuple(branch)
    removes = {entry.edits: entry.removes for entry in branch if entry.edits}
    turns = []
    for entry in branch:
        if entry.role is None or removes.get(entry.id, False):
            continue
        time = created if entry.time is None else entry.time
        key = f"{entry.id}|{entry.stamp}" if entry.id else _key(time, entry.role, entry.text)
        turns.append(Turn(entry.role, entry.text, time, key))
    return tuple(turns)


def title_of(entries: Iterable[Entry], turns: Iterable[Turn]) -> str:
    """The name given last, else the first line of the first user turn, in 80 characters."""
    named = ""
    for entry in entries:
        if entry.name is not None:
            named = " ".join(entry.name.split())
    if named:
        return named
    first = next((turn.text for turn in turns if turn.role == "user"), "")
    line = " ".join(first.strip().split("\n", 1)[0].split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"


def updated_of(entries: Sequence[Entry], created: int) -> int:
    """The time of the last entry that has one."""
    return next((entry.time for entry in reversed(entries) if entry.time is not None), created)


def marks_of(turn: Turn) -> tuple[int, int]:
    """Two numbers, of which a turn and its copy in a fork share at least one.

    The key is the first. The second holds where a fork gave new ids (the fork of a version 1
    file): time, role and text are copied as they are.
    """
    return hash(turn.key), hash((turn.time, turn.role, turn.text))


def _key(time: int, role: str, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{time}|{role}|{digest}"
