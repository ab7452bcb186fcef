"""Where each drawer's vector is, and the vectors themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.records import CollectionRecord
from mempalace_toolkit.chroma.segment.bounded_read import release
from mempalace_toolkit.chroma.segment.files import Elements
from mempalace_toolkit.index.salvage.row_order import InferredOrder


class Origin(IntEnum):
    """Where a drawer's vector is, in the order in which they are trusted."""

    NOWHERE = 0
    QUEUE = 1
    LIVE = 2
    QUARANTINED = 3


@dataclass(slots=True)
class Salvage:
    """Where each drawer's vector is, drawers in the order of their row ids.

    `origin` holds an Origin each; `folder` an index into `folders`, and
    `element` one into that folder's elements. `queued` holds the queue's vectors by drawer,
    `embedded` those that were made anew. `indexed` are the drawers of which the live index has
    an element by its map, whatever is known of its vector. `inferred` is where more are
    likely to be, which a comparison must prove.
    """

    record: CollectionRecord
    dimension: int
    origin: NDArray[np.int8]
    folder: NDArray[np.int16]
    element: NDArray[np.int64]
    folders: list[tuple[Path, Elements]]
    queued: dict[int, bytes]
    embedded: dict[int, NDArray[np.float32]]
    indexed: NDArray[np.bool_]
    inferred: InferredOrder | None = None

    def count(self, origin: int) -> int:
        """How many drawers' vectors come from there."""
        return int(np.count_nonzero(self.origin == origin))

    def missing(self) -> NDArray[np.int64]:
        """The drawers without a proven vector, by position."""
        return np.flatnonzero(self.origin == Origin.NOWHERE)

    def inferable(self) -> NDArray[np.int64]:
        """The drawers without a proven vector that a comparison may prove, by position."""
        if self.inferred is None:
            return np.zeros(0, np.int64)
        return np.intersect1d(self.inferred.targets, self.missing())

    def vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Raw vectors, a row each, as long as they once were; NaN where there is none."""
        out = np.full((len(positions), self.dimension), np.nan, np.float32)
        for number, (_, elements) in enumerate(self.folders):
            here = np.flatnonzero(self.folder[positions] == number)
            if len(here):
                out[here] = _raw(elements, self.element[positions[here]], self.record.space)
                release(elements.vectors)
        for row, position in enumerate(positions.tolist()):
            if position in self.queued:
                out[row] = np.frombuffer(self.queued[position], "<f4")
            elif position in self.embedded:
                out[row] = self.embedded[position]
        return out

    def blocks(self, size: int = 1000) -> Iterator[tuple[tuple[str, ...], NDArray[np.float32]]]:
        """All drawers' ids and vectors, in order."""
        total = len(self.record.ids)
        for start in range(0, total, size):
            positions = np.arange(start, min(start + size, total))
            yield self.record.ids[start : start + size], self.vectors(positions)

    def holders(self) -> frozenset[Path]:
        """The folders that hold the only proven copy of a vector."""
        used = np.unique(self.folder[self.origin == Origin.QUARANTINED])
        return frozenset(self.folders[number][0] for number in used.tolist())


def _raw(elements: Elements, places: NDArray[np.int64], space: str) -> NDArray[np.float32]:
    """Vectors as they were before chromadb made them of length 1.

    Only cosine indexes keep lengths; the others leave `length.bin` to chance.
    """
    rows: NDArray[np.float32] = np.array(elements.vectors[places], np.float32)
    if space == "cosine" and elements.lengths is not None:
        lengths = np.array(elements.lengths[places], np.float32)
        with np.errstate(all="ignore"):
            usable = np.isfinite(lengths) & (lengths > 1e-6) & (lengths < 1e6)
        rows *= np.where(usable, lengths, np.float32(1))[:, None]
    return rows
