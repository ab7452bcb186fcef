"""Inferred order: elements of an index without a sound id map, in the order of the drawers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.records import CollectionRecord
from mempalace_toolkit.chroma.segment.files import Elements, SegmentFiles
from mempalace_toolkit.index.evidence.likeness import ALIKE


@dataclass(frozen=True, slots=True)
class InferredOrder:
    """`ranked` are the live elements in the order of their labels. `targets` are the drawers
    that can be among them with their present text, by position; `most` is the largest offset.
    `map_labels` are the labels that the map, where it is believed, gives the drawers; 0 is none."""

    folder: Path
    elements: Elements
    ranked: NDArray[np.int64]
    targets: NDArray[np.int64]
    most: int
    map_labels: NDArray[np.int64]

    def agrees(self, drawers: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the map, as far as it goes, does not give these elements to other drawers.

        A damaged label puts its element into another place of the order. A map that is older
        than the elements may give a drawer the label that it had before it was deleted once.
        """
        every = np.asarray(self.elements.labels).astype(np.int64)
        own, labels = self.map_labels[drawers], every[places]
        gone = np.isin(own, every[np.asarray(self.elements.deleted)]) | (own == 0)
        foreign = np.isin(labels, self.map_labels[self.map_labels > 0])
        agreed: NDArray[np.bool_] = (own == labels) | (gone & ~foreign)
        return agreed

    def usable(self, rank: int) -> bool:
        """Whether the vector in this place of the order can be one at all."""
        vector = np.asarray(self.elements.vectors[self.ranked[rank]])
        return bool(np.all(np.isfinite(vector)) and np.any(vector))

    def alike(
        self, positions: Sequence[int], vectors: NDArray[np.float32], most: int
    ) -> list[tuple[int, ...]]:
        """For each drawer the offsets under which its place has its vector, given beside."""
        found = []
        for position, vector in zip(positions, vectors.astype(np.float64), strict=True):
            places = self.ranked[position : position + most + 1]
            held = np.asarray(self.elements.vectors[places], np.float64)
            with np.errstate(all="ignore"):
                lengths = np.linalg.norm(held, axis=1) * np.linalg.norm(vector)
                cosines = held @ vector / lengths
            found.append(tuple(np.flatnonzero(cosines > ALIKE).tolist()))
        return found


def infer_order(
    record: CollectionRecord, files: SegmentFiles, current: NDArray[np.bool_], map_wrong: bool
) -> InferredOrder | None:
    """The order to look for, where the map does not tell; None where it does, or nothing fits.

    `current` says which drawers' vectors the index has if it has them at all.
    """
    if files.elements is None:
        return None
    labels = np.asarray(files.elements.labels).astype(np.int64)
    live = np.flatnonzero(~np.asarray(files.elements.deleted) & (labels > 0))
    map_labels = np.zeros(len(record.ids), np.int64)
    if not map_wrong and files.id_map is not None:
        known = np.fromiter(files.id_map.ids, np.int64, len(files.id_map.ids))
        if np.all(np.isin(labels[live], known)):
            return None
        given = (files.id_map.labels.get(drawer, 0) for drawer in record.ids)
        map_labels = np.fromiter(given, np.int64, len(record.ids))
    ranked = live[np.argsort(labels[live], kind="stable")]
    if not map_labels.any():  # an older index lacks the drawers that were added last
        current = current & (np.arange(len(current)) < len(ranked))
    targets = np.flatnonzero(current)
    most = len(ranked) - 1 - int(targets[-1]) if len(targets) else -1
    if most < 0 or len(np.unique(labels[live])) != len(live):
        return None
    return InferredOrder(files.folder, files.elements, ranked, targets, most, map_labels)
