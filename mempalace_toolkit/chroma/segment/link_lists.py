"""Walks `link_lists.bin`, the upper levels of the graph, and says what is wrong with it.

Each element has a u32 byte count, then a block for each level above 0: a u32 whose low half is
the number of links, then maxM × u32 neighbours. Nearly all elements have the count 0, so the
walk jumps from one other value to the next.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class LinksError(ValueError):
    """The upper levels are cut, or lead out of the graph."""


@dataclass(frozen=True, slots=True)
class UpperLevels:
    """The level of each element, and each block's element, level and place in the file's words."""

    levels: NDArray[np.int32]
    owners: NDArray[np.int64]
    block_levels: NDArray[np.int64]
    starts: NDArray[np.int64]


def walk(words: NDArray[np.uint32], count: int, max_links: int, max_level: int) -> UpperLevels:
    """Find every block; `words` is the file as u32. Raises LinksError."""
    if count > len(words):
        raise LinksError(f"it ends before element {len(words)} of {count}")
    block = max_links + 1
    levels = np.zeros(count, np.int32)
    # As single numbers a view's are ten times as fast as an array's.
    held, filled = words.data, np.flatnonzero(words).data
    owners: list[int] = []
    places: list[int] = []
    at = element = number = 0
    while element < count:
        number = bisect_left(filled, at, number)
        following = filled[number] if number < len(filled) else len(words)
        run = min(following - at, count - element)
        at, element = at + run, element + run
        if element == count:
            break
        if at >= len(words):
            raise LinksError(f"it ends before element {element} of {count}")
        height, rest = divmod(held[at], 4 * block)
        if rest or height > max_level or at + 1 + height * block > len(words):
            raise LinksError(f"element {element} has an impossible length")
        levels[element] = height
        owners.append(element)
        places.append(at + 1)
        at, element = at + 1 + height * block, element + 1
    return _blocks(levels, np.array(owners, np.int64), np.array(places, np.int64), block)


def _blocks(
    levels: NDArray[np.int32], owners: NDArray[np.int64], places: NDArray[np.int64], block: int
) -> UpperLevels:
    heights = levels[owners].astype(np.int64)
    first = np.repeat(np.cumsum(heights) - heights, heights)
    nth = np.arange(int(heights.sum())) - first
    starts = np.repeat(places, heights) + nth * block
    return UpperLevels(levels, np.repeat(owners, heights), nth + 1, starts)


def wrong_blocks(words: NDArray[np.uint32], upper: UpperLevels, max_links: int) -> int:
    """How many blocks count too many links, or link to what is not on their level."""
    wrong = 0
    count = len(upper.levels)
    columns = np.arange(max_links)
    for at in range(0, len(upper.starts), 8192):
        starts = upper.starts[at : at + 8192]
        level = upper.block_levels[at : at + 8192, None]
        counts = (words[starts] & 0xFFFF).astype(np.int64)
        links = words[starts[:, None] + 1 + columns].astype(np.int64)
        used = columns < counts[:, None]
        outside = links >= count
        lower = upper.levels[np.where(outside, 0, links)] < level
        wrong += int(np.count_nonzero((counts > max_links) | (used & (outside | lower)).any(1)))
    return wrong
