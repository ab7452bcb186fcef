"""A collection's vectors in memory, as chromadb compares them: put, removed, looked at in blocks.

Vectors lie in blocks of a fixed number of rows, so that growing copies nothing. A vector's place
is its row over all blocks; the place of a removed one is given to the next that comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 8192
_SHORTEST = 1e-30
"""What hnswlib adds to a length before it divides by it."""


@dataclass(slots=True)
class Block:
    """`BLOCK_ROWS` places: vectors (of length 1 for cosine), and the lengths they had before."""

    vectors: NDArray[np.float32]
    lengths: NDArray[np.float32]


@dataclass(slots=True)
class Vectors:
    """The vectors of one collection.

    `ids` has the id at each place, None where there is none; `labels` the order in which
    chromadb took them in, which decides between vectors that are equally near.
    """

    dimension: int
    space: str
    blocks: list[Block] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    next_label: int = 1
    _free: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.places)

    def append_block(
        self,
        vectors: NDArray[np.float32],
        lengths: NDArray[np.float32],
        ids: Sequence[str | None],
        labels: Sequence[int],
    ) -> None:
        """Take in vectors as an index has them; all blocks before must be full.

        A place without an id is free.
        """
        assert len(self.ids) % BLOCK_ROWS == 0 and len(vectors) <= BLOCK_ROWS
        start = len(self.ids)
        if len(vectors) < BLOCK_ROWS:
            block = self._new_block()
            block.vectors[: len(vectors)], block.lengths[: len(lengths)] = vectors, lengths
        else:
            block = Block(vectors, lengths)
        self.blocks.append(block)
        self.ids.extend(ids)
        self.labels.extend(labels)
        for place, identity in enumerate(ids, start):
            if identity is None:
                self._free.append(place)
            else:
                self.places[identity] = place

    def put(self, identity: str, raw: NDArray[np.float32]) -> None:
        """Take in a drawer's vector, or another one for a drawer that has one.

        Raises ValueError where it has another number of dimensions.
        """
        if raw.shape != (self.dimension,):
            raise ValueError(f"a vector of {raw.size} numbers in an index of {self.dimension}")
        place = self.places.get(identity)
        if place is None:
            place = self._place_for(identity)
        length = np.float32(np.linalg.norm(raw))
        block = self.blocks[place // BLOCK_ROWS]
        row = place % BLOCK_ROWS
        block.vectors[row] = self.comparable(raw)
        block.lengths[row] = length if self.space == "cosine" else 1

    def remove(self, identity: str) -> None:
        """Forget a drawer; nothing happens where it has no vector."""
        place = self.places.pop(identity, None)
        if place is not None:
            self.ids[place] = None
            self._free.append(place)

    def comparable(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """A vector as it is stored and compared: of length 1 for cosine."""
        if self.space != "cosine":
            return raw
        scaled: NDArray[np.float32] = raw * np.float32(1 / (np.linalg.norm(raw) + _SHORTEST))
        return scaled

    def free_places(self) -> Sequence[int]:
        """The places that hold no drawer."""
        return self._free

    def filled(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The used rows of each block, with the place of the first."""
        for number, block in enumerate(self.blocks):
            start = number * BLOCK_ROWS
            yield start, block.vectors[: min(BLOCK_ROWS, len(self.ids) - start)]

    def stored(self, places: Sequence[int]) -> NDArray[np.float32]:
        """The vectors at these places as they are compared, a row each."""
        rows = np.empty((len(places), self.dimension), np.float32)
        for row, place in enumerate(places):
            rows[row] = self.blocks[place // BLOCK_ROWS].vectors[place % BLOCK_ROWS]
        return rows

    def raw(self, identity: str) -> NDArray[np.float32]:
        """A drawer's vector as it was written. Raises KeyError where it has none."""
        block, row = divmod(self.places[identity], BLOCK_ROWS)
        found = self.blocks[block]
        return np.asarray(found.vectors[row] * found.lengths[row], np.float32)

    def _place_for(self, identity: str) -> int:
        if self._free:
            place = self._free.pop()
            self.ids[place], self.labels[place] = identity, self.next_label
        else:
            place = len(self.ids)
            if place % BLOCK_ROWS == 0:
                self.blocks.append(self._new_block())
            self.ids.append(identity)
            self.labels.append(self.next_label)
        self.places[identity] = place
        self.next_label += 1
        return place

    def _new_block(self) -> Block:
        # Memory that is never written to is never taken.
        return Block(
            np.empty((BLOCK_ROWS, self.dimension), np.float32), np.empty(BLOCK_ROWS, np.float32)
        )
