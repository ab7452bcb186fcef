"""Finds which leading turns of a session are copies of an earlier session's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from mempalace_toolkit.sessions.model import Turn
from mempalace_toolkit.sessions.opencode.source import Entry

_REMEMBERED = 8  # sessions whose keys are kept: forks of one session are read close together


class ForkGroups:
    """Sessions that begin with a message of the same moment, by session id.

    A fork copies messages with their times and has no mark otherwise, up to 1.18; 2.x names
    the original. The session made first counts as the original of its group.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        by_first: dict[int, list[Entry]] = {}
        known: dict[str, Entry] = {}
        for entry in entries:  # oldest first
            known[entry.ref.id] = entry
            if entry.first:
                by_first.setdefault(entry.first, []).append(entry)
        self._earlier: dict[str, list[Entry]] = {}
        for group in by_first.values():
            for position, entry in enumerate(group[1:], start=1):
                self._earlier[entry.ref.id] = group[:position]
        for entry in known.values():
            original = known.get(entry.forked_from or "")
            if original is not None and original is not entry:
                others = self._earlier.get(entry.ref.id, [])
                rest = [other for other in others if other is not original]
                self._earlier[entry.ref.id] = [original, *rest]

    def originals(self, session: str) -> Sequence[Entry]:
        """The sessions that this one may have been copied from, the likeliest first."""
        return self._earlier.get(session, ())


class RecentTurns:
    """The turns' names of the last few sessions that forks were compared with."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, list[str]] = OrderedDict()

    def get(self, session: str) -> list[str] | None:
        """The keys of the session's turns, if they are still kept."""
        return self._kept.get(session)

    def put(self, session: str, keys: list[str]) -> None:
        """Keep these keys, and let go of the oldest."""
        self._kept[session] = keys
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)


def leading_run(turns: Sequence[Turn], keys: Sequence[str]) -> int:
    """How many turns from the first on are the other session's too."""
    run = 0
    for turn, key in zip(turns, keys, strict=False):
        if turn.key != key:
            break
        run += 1
    return run
