"""What a walk along the b-trees of a damaged database met, and could not read."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

Gap = tuple[int, int]
"""Rowids above the first and up to the second may be lost."""


@dataclass(slots=True)
class Walk:
    """What walking b-trees met: pages by number, and the rowids that what was not readable of
    them may have held."""

    seen: set[int] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)

    def lose(self, low: int, high: int) -> None:
        """Note that something between these rowids cannot be read."""
        self.gaps.append((low, high))


class Gaps:
    """Whether a rowid lies in any of these gaps."""

    def __init__(self, gaps: list[Gap]) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in sorted(gaps):
            if self._highs and low <= self._highs[-1]:
                self._highs[-1] = max(self._highs[-1], high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    def __contains__(self, rowid: int) -> bool:
        place = bisect_left(self._lows, rowid) - 1
        return place >= 0 and rowid <= self._highs[place]
