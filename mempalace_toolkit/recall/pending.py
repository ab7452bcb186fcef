"""Drawers that were acknowledged and are not filed yet: found as if they were, and marked.

Whoever files them puts them in here before the acknowledgement, and takes them out when the
palace has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.recall.filters import Where, matches
from mempalace_toolkit.recall.nearest import Neighbour, nearest
from mempalace_toolkit.recall.rows import Row
from mempalace_toolkit.recall.vectors import Vectors


@dataclass(frozen=True, slots=True)
class PendingDrawer:
    """A drawer as it will be filed, and its vector."""

    id: str
    document: str
    metadata: Mapping[str, Any]
    vector: NDArray[np.float32]


@dataclass(slots=True)
class Pending:
    """The pending drawers of one collection, in the order of their acknowledgement."""

    _drawers: dict[str, PendingDrawer] = field(default_factory=dict)

    def __contains__(self, identity: object) -> bool:
        return identity in self._drawers

    def __len__(self) -> int:
        return len(self._drawers)

    def add(self, drawer: PendingDrawer) -> None:
        """Show a drawer from now on, in the place of a filed one with its id."""
        self._drawers[drawer.id] = drawer

    def forget(self, ids: Iterable[str]) -> None:
        """Show these no more: the palace has them, or refused them."""
        for identity in ids:
            self._drawers.pop(identity, None)

    def rows(self, where: Where | None, ids: Iterable[str] | None = None) -> Iterator[Row]:
        """The rows that a clause means, of these ids; all where None."""
        wanted = None if ids is None else frozenset(ids)
        for drawer in self._drawers.values():
            if (wanted is None or drawer.id in wanted) and matches(drawer.metadata, where):
                yield Row(drawer.id, drawer.document, dict(drawer.metadata))

    def nearest(
        self, like: Vectors, question: NDArray[np.float32], where: Where | None
    ) -> list[Neighbour]:
        """The pending drawers that a clause means, each with its distance, by the same measure."""
        some = Vectors(like.dimension, like.space)
        for drawer in self._drawers.values():
            if matches(drawer.metadata, where):
                some.put(drawer.id, drawer.vector)
        return nearest(some, question, len(some)) if len(some) else []

    def vector(self, identity: str) -> NDArray[np.float32]:
        """A pending drawer's vector. Raises KeyError."""
        return self._drawers[identity].vector


def mark_queued(hits: Iterable[MutableMapping[str, Any]], pending: Pending) -> None:
    """Say `queued: true` in each hit of MemPalace's search that is not filed yet."""
    for hit in hits:
        if hit.get("drawer_id") in pending:
            hit["queued"] = True
