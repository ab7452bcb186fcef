"""What the pages of a session hold and a reading of it lacks: what of it leaves, and why.

Talk leaves only on a positive mark of undo. That a message is absent is no mark: stores are
damaged, cut short, rolled back, emptied by an upgrade. All pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mempalace_toolkit.sessions.model import Mark, Turn
from mempalace_toolkit.transcripts.render import bounded_time

_EARLIEST = 100_000_000_000
"""A time before 1973 is none: it is missing, or was written in seconds."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a store tells of a session.

    `copied` are leading turns that are left to another session. `withdrawn` are marks of undo,
    each with its reason. `mended` tells that the pages were written by other rules of reading.
    """

    turns: Sequence[Turn]
    copied: Sequence[Turn] = ()
    withdrawn: Mapping[Mark, str] = field(default_factory=dict)
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """What was read, and between it what is kept.

    `kept` counts turns that are in no reading any more. `withdrawn` are positions of held
    turns that leave, each with the reason.
    """

    turns: tuple[Turn, ...]
    kept: int
    withdrawn: Mapping[int, str]


def merge(reading: Reading, held: Sequence[Turn]) -> Merged:
    """Put what must stay of `held`, the turns on the pages in their order, among what was read."""
    places = _Places(reading)
    found = places.of_all(held)
    withdrawn: dict[int, str] = {}
    kept: list[int] = []
    for position, turn in enumerate(held):
        if found[position] is None and not places.is_copied(turn):
            reason = places.withdrawn.get(_mark(turn))
            if reason is None:
                kept.append(position)
            else:
                withdrawn[position] = reason
    turns = _woven(reading.turns, held, found, kept)
    return Merged(turns, len(kept), withdrawn)


def first_held(turns: Sequence[Turn], held: Iterable[Turn]) -> int:
    """The position of the first of `turns` that is among `held`; their number where none is."""
    there = {(_mark(turn), turn.text) for turn in held}
    places = (place for place, turn in enumerate(turns) if (_mark(turn), turn.text) in there)
    return next(places, len(turns))


class _Places:
    """Where in a reading each held turn stands."""

    def __init__(self, reading: Reading) -> None:
        self._read = reading.turns
        self._mended = reading.mended
        self._exact: dict[tuple[Mark, str], int] = {}
        self._by_mark: defaultdict[Mark, list[int]] = defaultdict(list)
        self._by_text: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for place, turn in enumerate(reading.turns):
            self._exact.setdefault((_mark(turn), turn.text), place)
            self._by_mark[_mark(turn)].append(place)
            self._by_text[turn.role, turn.text].append(place)
        self._copied = {(_mark(turn), turn.text) for turn in reading.copied}
        self._used: set[int] = set()
        self.withdrawn = {
            (role, bounded_time(time)): why for (role, time), why in reading.withdrawn.items()
        }

    def of_all(self, held: Sequence[Turn]) -> list[int | None]:
        """For each held turn its place, None where the reading lacks it.

        A message is known by who said it and when; without a time by its text, as often as
        that was said.
        """
        found = self._in_order(held)
        for position, turn in enumerate(held):
            if found[position] is None:
                found[position] = self._exactly(turn)
        self._used.update(place for place in found if place is not None)
        return [
            self._otherwise(turn) if place is None else place
            for turn, place in zip(held, found, strict=True)
        ]

    def is_copied(self, turn: Turn) -> bool:
        """Whether the turn is left to the session that this one was forked from."""
        return (_mark(turn), turn.text) in self._copied

    def _in_order(self, held: Sequence[Turn]) -> list[int | None]:
        """The place of each held turn where all that was read stands among them in its order.

        So it is for pages on which something was kept: merging again moves nothing.
        """
        found: list[int | None] = []
        place = 0
        for turn in held:
            same = place < len(self._read) and _same(self._read[place], turn)
            found.append(place if same else None)
            place += same
        return found if place == len(self._read) else [None] * len(held)

    def _exactly(self, turn: Turn) -> int | None:
        return self._exact.get((_mark(turn), turn.text)) if turn.time > 0 else None

    def _otherwise(self, turn: Turn) -> int | None:
        if turn.time > 0:
            text = _words(turn.text)
            for place in self._by_mark.get(_mark(turn), ()):
                if self._mended or text in _words(self._read[place].text):
                    return place  # its streaming went on, or it is read by better rules
        for place in self._by_text.get((turn.role, turn.text), ()):
            timeless = min(turn.time, self._read[place].time) < _EARLIEST
            if place not in self._used and (timeless or self._mended):
                self._used.add(place)
                return place
        return None


def _woven(
    read: Sequence[Turn], held: Sequence[Turn], found: Sequence[int | None], kept: Iterable[int]
) -> tuple[Turn, ...]:
    """The turns that were read, in their order, each kept one where it stood among them.

    That is after the nearest turn that stood before it, and after what was said earlier.
    """
    before: defaultdict[int, list[Turn]] = defaultdict(list)
    following = _following(found, len(read))
    start, last = 0, -1
    for position in kept:
        for place in found[last + 1 : position]:
            start = start if place is None else place + 1
        last, moment = position, held[position].time
        place = start
        while place < following[position] and 0 < bounded_time(read[place].time) <= moment:
            place += 1
        before[place].append(held[position])
    woven: list[Turn] = []
    for place in range(len(read) + 1):
        woven += before.get(place, ())
        woven += read[place : place + 1]
    return tuple(woven)


def _following(found: Sequence[int | None], end: int) -> list[int]:
    """For each held turn the place of the nearest one after it that was read."""
    places = []
    for place in reversed(found):
        places.append(end)
        end = end if place is None else place
    return places[::-1]


def _same(one: Turn, other: Turn) -> bool:
    return one.text == other.text and _mark(one) == _mark(other)


def _mark(turn: Turn) -> Mark:
    return turn.role, bounded_time(turn.time)


def _words(text: str) -> str:
    return "".join(text.split())


def told_reasons(reasons: Iterable[str]) -> str:
    """`4 turns: undone by a revert`, or with counts where there is more than one reason."""
    counts = Counter(reasons)
    total = sum(counts.values())
    head = f"{total} turn{'s' if total != 1 else ''}"
    if len(counts) == 1:
        return f"{head}: {next(iter(counts))}"
    return f"{head}: " + ", ".join(f"{count} {why}" for why, count in counts.most_common())
