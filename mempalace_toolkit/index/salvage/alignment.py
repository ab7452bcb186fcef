"""Matches index elements to drawers when the id map is lost: by order, verified on a sample.

Labels are given in the order of the drawers' rows. So the n-th drawer's element is the n-th by
label, or as many places further on as elements before it are of drawers deleted since. That
number never falls along the drawers: where it is the same at two of them, it is so for all
between. It is found by embedding single drawers again and looking where their vectors are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Compare = Callable[[Sequence[int], int], list[tuple[int, ...]]]
"""For each of these drawers the offsets, up to the highest possible one, under which the element
in its place has its vector."""

FIRST_ROUND = 9
"""Drawers that are compared in any case, where there are so many."""

_PARTS = FIRST_ROUND - 1
_MOST_ROUNDS = 12


@dataclass(slots=True)
class Alignment:
    """`offsets` is the offset of each target, in their order; -1 where it is not proven.

    `compared` are the places of the targets that were embedded, `confirmed` those of them that
    were found where they belong, alone or beside others of the same text.
    """

    offsets: NDArray[np.int64]
    compared: set[int] = field(default_factory=set)
    confirmed: set[int] = field(default_factory=set)


def align(targets: NDArray[np.int64], most: int, first: set[int], compare: Compare) -> Alignment:
    """Find each target's offset; `targets` are drawers by position, ascending, `most` its limit.

    Those of `first`, by their place among the targets, are compared in any case. Nothing is
    proven where a comparison contradicts the order.
    """
    found = Alignment(np.full(len(targets), -1, np.int64))
    for _ in range(_MOST_ROUNDS):
        chosen = sorted({*_choose(found, len(targets)), *(first - found.compared)})
        if not chosen:
            break
        seen = compare([int(targets[place]) for place in chosen], most)
        found.compared.update(chosen)
        for place, offsets in zip(chosen, seen, strict=True):
            if offsets:
                found.confirmed.add(place)
            # Drawers with one text have one vector: such a one tells nothing.
            if len(offsets) == 1:
                found.offsets[place] = offsets[0]
        known = found.offsets[found.offsets >= 0]
        if np.any(np.diff(known) < 0):
            return Alignment(np.full(len(targets), -1, np.int64), found.compared)
    _fill(found.offsets)
    return found


def _choose(found: Alignment, count: int) -> list[int]:
    """What to compare next: points spread over the whole, then over where the offset changes."""
    if not found.compared:
        return sorted({int(one) for one in np.linspace(0, count - 1, FIRST_ROUND)})
    known = np.flatnonzero(found.offsets >= 0)
    if not len(known):
        return []
    edges = [-1, *known.tolist(), count]
    chosen: set[int] = set()
    for low, high in pairwise(edges):
        inside = low >= 0 and high < count
        if inside and found.offsets[low] == found.offsets[high]:
            continue
        open_ones = [one for one in range(low + 1, high) if one not in found.compared]
        step = max(1, len(open_ones) // (_PARTS - 1))
        chosen.update(open_ones[step // 2 :: step])
    return sorted(chosen)


def _fill(offsets: NDArray[np.int64]) -> None:
    """Give those between two of one offset the same."""
    known = np.flatnonzero(offsets >= 0)
    for low, high in pairwise(known.tolist()):
        if offsets[low] == offsets[high]:
            offsets[low:high] = offsets[low]
