"""The longest increasing run in a list of numbers: what is in order when some are not."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise


def increasing(numbers: Sequence[int]) -> list[int]:
    """The places of the longest strictly increasing run among the numbers."""
    if all(first < second for first, second in pairwise(numbers)):
        return list(range(len(numbers)))
    ends: list[int] = []
    tails: list[int] = []
    before = [-1] * len(numbers)
    for place, number in enumerate(numbers):
        length = bisect_left(tails, number)
        before[place] = ends[length - 1] if length else -1
        ends[length : length + 1] = [place]
        tails[length : length + 1] = [number]
    kept, place = [], ends[-1]
    while place >= 0:
        kept.append(place)
        place = before[place]
    return kept[::-1]
