"""From a pi session's entries to what was said: the branches that live, and those that were left.

pi only appends; every entry hangs on the one its writer stood on. The session goes on where the
last entry stands that can carry talk. A branch beside that way was left by one writer who went
back in the tree, or is another process's that had the session open. One writer
leaves a branch for good: where a branch grows on after the other began, two processes wrote, and
both were said. Where the file cannot tell, both were said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mempalace_toolkit.sessions.pi.entries import TALK_KINDS, UNASKED_KINDS, Entry

ROOT = -1
"""The position on which first entries hang."""


@dataclass(frozen=True, slots=True)
class Branches:
    """What was said, in order, and what was left. `breaks` counts links that led nowhere.

    `certain` is false where lines are missing, so that a branch only seems to have been left.
    """

    said: tuple[Entry, ...]
    left: tuple[Entry, ...] = ()
    breaks: int = 0
    repeats: int = 0

    @property
    def certain(self) -> bool:
        return not self.breaks


def find_branches(entries: Sequence[Entry], linear: bool) -> Branches:
    """Tell the branches of a file's entries; a `linear` file (version 1) has none.

    Where a link is missing or broken, the way goes on with the entry before it in the file: a
    lost line was most likely written between the two. Of entries with one id the last counts, in
    the place of the first.
    """
    if linear or _is_chain(entries):
        return Branches(tuple(entries))
    kept, repeats = _once_each(entries)
    parents, breaks = _linked(kept)
    tree = _Tree(kept, parents)
    said: list[int] = []
    left: list[int] = []
    tree.sort(said, left)
    if tree.branches > 1:
        said.sort()
    return Branches(
        tuple(kept[position] for position in said),
        tuple(kept[position] for position in sorted(left)),
        breaks,
        repeats,
    )


def _is_chain(entries: Sequence[Entry]) -> bool:
    before: str | None = None
    for entry in entries:
        if entry.parent != before or not entry.id:
            return False
        before = entry.id
    return len({entry.id for entry in entries}) == len(entries)


def _once_each(entries: Sequence[Entry]) -> tuple[list[Entry], int]:
    kept: list[Entry] = []
    place: dict[str, int] = {}
    for entry in entries:
        if entry.id and entry.id in place:
            kept[place[entry.id]] = entry
            continue
        if entry.id:
            place[entry.id] = len(kept)
        kept.append(entry)
    return kept, len(entries) - len(kept)


def _linked(entries: Sequence[Entry]) -> tuple[list[int], int]:
    """The position of each entry's parent, always leading to ROOT, and how many were broken."""
    place = {entry.id: position for position, entry in enumerate(entries) if entry.id}
    parents: list[int] = []
    broken: set[int] = set()
    for position, entry in enumerate(entries):
        if entry.parent is None:
            parents.append(ROOT)
        elif (target := place.get(entry.parent, position)) != position:
            parents.append(target)
        else:
            parents.append(position - 1)
            broken.add(position)
    settled = bytearray(len(entries) + 1)
    settled[ROOT] = 1
    for start in range(len(entries)):
        way: set[int] = set()
        position = start
        while not settled[position]:
            if position in way:  # a circle: it is cut at its first line
                first = _first_of_circle(parents, position)
                broken.add(first)
                parents[first] = ROOT if first - 1 in way else first - 1
                way.clear()
                position = start
                continue
            way.add(position)
            position = parents[position]
        for member in way:
            settled[member] = 1
    return parents, len(broken)


def _first_of_circle(parents: Sequence[int], member: int) -> int:
    first, position = member, parents[member]
    while position != member:
        first = min(first, position)
        position = parents[position]
    return first


@dataclass(slots=True)
class _Below:
    """What is known of an entry and all that hangs on it; positions are those in the file.

    `speaks` tells that there is a visible message or a summary of a branch among it.
    """

    first: int
    last: int
    last_talk: int = ROOT
    speaks: bool = False

    def add(self, other: _Below) -> None:
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.last_talk = max(self.last_talk, other.last_talk)
        self.speaks = self.speaks or other.speaks


class _Tree:
    """The entries as a tree."""

    def __init__(self, entries: Sequence[Entry], parents: Sequence[int]) -> None:
        self.branches = 0
        self._entries = entries
        self._parents = parents
        self._children: dict[int, list[int]] = defaultdict(list)
        for position, parent in enumerate(parents):
            self._children[parent].append(position)
        self._below = [_alone(position, entry) for position, entry in enumerate(entries)]
        for position in reversed(self._hanging(ROOT)):  # children come before their parents
            if parents[position] != ROOT:
                self._below[parents[position]].add(self._below[position])
        place = {entry.id: position for position, entry in enumerate(entries) if entry.id}
        self._summaries = [
            (position, place[entry.leaves])
            for position, entry in enumerate(entries)
            if entry.leaves in place
        ]

    def sort(self, said: list[int], left: list[int]) -> None:
        """Sort all positions into what was said and what was left."""
        waiting = [ROOT]
        while waiting:
            top = waiting.pop()
            self.branches += 1
            way, aside = self._way(top)
            said += way
            for branch, rival in aside:
                if self._was_left(branch, rival):
                    left += self._hanging(branch)
                else:
                    waiting.append(branch)

    def _hanging(self, top: int) -> list[int]:
        """`top` and all that hangs on it, each after its parent."""
        found = [] if top == ROOT else [top]
        waiting = [top]
        while waiting:
            children = self._children.get(waiting.pop(), ())
            found += children
            waiting += children
        return found

    def _way(self, top: int) -> tuple[list[int], list[tuple[int, int]]]:
        """The way from `top` to where its branch goes on, and (side branch, the way's own)."""
        tops = self._children[ROOT] if top == ROOT else [top]
        leaf = max((self._below[child].last_talk for child in tops), default=ROOT)
        if leaf == ROOT:
            return sorted(self._hanging(top)), []
        way = [leaf]
        while way[-1] != top and self._parents[way[-1]] != ROOT:
            way.append(self._parents[way[-1]])
        way.reverse()
        forks = [ROOT, *way] if top == ROOT else way
        aside = [
            (child, rival)
            for fork, rival in pairwise(forks)
            for child in self._children[fork]
            if child != rival
        ]
        return way + sorted(self._hanging(leaf)[1:]), aside

    def _was_left(self, branch: int, rival: int) -> bool:
        """Whether the writer of `branch` gave it up and went on with `rival`, for certain."""
        own, other = self._below[branch], self._below[rival]
        if own.last_talk == ROOT:
            return True  # nothing was said on it
        if any(
            summary > own.last_talk and self._hangs(end, branch) and self._hangs(summary, rival)
            for summary, end in self._summaries
        ):
            return True
        grew_on = own.last > other.first
        return other.speaks and not grew_on and self._entries[rival].kind not in UNASKED_KINDS

    def _hangs(self, position: int, top: int) -> bool:
        while position not in (top, ROOT):
            position = self._parents[position]
        return position == top


def _alone(position: int, entry: Entry) -> _Below:
    below = _Below(position, position)
    if entry.kind in TALK_KINDS:
        below.last_talk = position
        below.speaks = entry.role is not None or bool(entry.leaves)
    return below
