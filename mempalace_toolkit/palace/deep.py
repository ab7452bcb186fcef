"""The check that needs the model: do vectors belong to their drawers' texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.palace.evidence import Evidence
from mempalace_toolkit.palace.findings import Finding
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.records import read_documents

_ALIKE = 0.999


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """How to embed texts as MemPalace does: (n,) texts to (n, dimension) f32; and how many."""

    embed: Callable[[Sequence[str]], NDArray[np.float32]]
    sample: int = 16


def check_deeply(palace: PalaceLocation, evidence: Evidence, deep: DeepCheck) -> Iterator[Finding]:
    """Embed a sample, evenly spread over the drawers, and compare it with the index.

    Only vectors that are proven to be of the drawer's present text are compared: those whose
    row the index has passed. Collections of another dimension than the model's are left out.
    """
    rows = _current_rows(evidence)
    chosen = rows[:: max(1, -(-len(rows) // deep.sample))]
    texts = read_documents(palace, (row for row, _, _ in chosen))
    pairs = [(texts[row], vector) for row, _, vector in chosen if texts.get(row)]
    if not pairs:
        return
    embedded = np.asarray(deep.embed([text for text, _ in pairs]), np.float64)
    stored = np.array([vector for _, vector in pairs], np.float64)
    if embedded.shape != stored.shape:
        return
    lengths = np.linalg.norm(embedded, axis=1) * np.linalg.norm(stored, axis=1)
    alike = (embedded * stored).sum(1) / np.where(lengths == 0, 1, lengths)
    wrong = int(np.count_nonzero(~(alike > _ALIKE)))
    if wrong:
        yield evidence.finding(
            "labels_swapped",
            f"{wrong} of {len(pairs)} drawers have a vector that is not of their text",
            wrong=wrong,
            sample=len(pairs),
        )


def _current_rows(evidence: Evidence) -> list[tuple[int, str, NDArray[np.float32]]]:
    """Row id, id and vector of each drawer whose indexed vector is of its present text."""
    files, record = evidence.files, evidence.record
    if files is None or files.elements is None or files.id_map is None:
        return []
    labels = files.elements.labels
    place = {int(label): number for number, label in enumerate(labels)}
    current = record.sequences <= (record.vector_watermark or 0)
    found = []
    for row, identity, is_current in zip(record.row_ids, record.ids, current, strict=True):
        at = place.get(files.id_map.labels.get(identity, 0))
        if is_current and at is not None and _compares(files.elements.vectors[at]):
            found.append((int(row), identity, files.elements.vectors[at]))
    return found


def _compares(vector: NDArray[np.float32]) -> bool:
    """Whether a vector points anywhere: others have findings of their own."""
    return bool(np.isfinite(vector).all() and vector.any())
