"""From the entries that live to a session's turns, its title, and what is said no more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from mempalace_toolkit.sessions.model import Mark, Turn
from mempalace_toolkit.sessions.pi.branch import Branches
from mempalace_toolkit.sessions.pi.entries import Entry

TITLE_LENGTH = 80

LEFT = "on a branch that was left"
TAKEN_BACK = "taken back by pi"
ATTACHED = "attached by pi, not typed"


def turns_of(said: Sequence[Entry], created: int) -> tuple[Turn, ...]:
    """The visible turns; `created` stands in where no time was written.

    An entry that a later one takes back is dropped: pi does so with an answer that it then
    asks for again, so that the answer would stand twice. Of several edits the last counts.
    """
    removed = _removed(said)
    turns = []
    for entry in said:
        if entry.role is None or not entry.text or (removed and entry.id in removed):
            continue
        written = entry.time
        time = created if written is None else written
        stamp = "" if entry.stamp is None else entry.stamp
        key = f"{entry.id}|{stamp}" if entry.id else _key(time, entry.role, entry.text)
        turns.append(Turn(entry.role, entry.text, time, key))
    return tuple(turns)


def withdrawn_of(branches: Branches, turns: Iterable[Turn]) -> Mapping[Mark, str]:
    """The messages that stand in the file and are no talk, or not as they stand, and why.

    One without a time of its own has no mark. Where lines are missing, a branch may only seem
    to have been left.
    """
    marks: dict[Mark, str] = {}
    if branches.certain:
        _mark(marks, branches.left, LEFT)
    if removed := _removed(branches.said):
        _mark(marks, (entry for entry in branches.said if entry.id in removed), TAKEN_BACK)
    if marks:
        for turn in turns:
            marks.pop((turn.role, turn.time), None)
    _mark(marks, (entry for entry in branches.said if entry.attached), ATTACHED)
    return marks


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
    """The time of the last message; where none has one, of the last entry that has."""
    for messages in (True, False):
        for entry in reversed(entries):
            if (entry.kind == "message" or not messages) and (time := entry.time) is not None:
                return time
    return created


def marks_of(turn: Turn) -> tuple[int, int]:
    """Two numbers, of which a turn and its copy in a fork share at least one.

    The key is the first. The second holds where a fork gave new ids (the fork of a version 1
    file): time, role and text are copied as they are.
    """
    return hash(turn.key), hash((turn.time, turn.role, turn.text))


def _removed(said: Iterable[Entry]) -> frozenset[str]:
    removes = {entry.edits: entry.removes for entry in said if entry.edits}
    return frozenset(target for target, gone in removes.items() if gone)


def _mark(marks: dict[Mark, str], entries: Iterable[Entry], reason: str) -> None:
    for entry in entries:
        if entry.role is not None and (time := entry.time) is not None:
            marks.setdefault((entry.role, time), reason)


def _key(time: int, role: str, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{time}|{role}|{digest}"
