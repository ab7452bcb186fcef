"""The check that needs the model: do vectors belong to their drawers' texts.

A sample is compared, or every drawer. What was written again most recently comes first in a
sample: an index that is older than the database lacks just that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.records import CollectionRecord, read_documents
from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.evidence.likeness import ALIKE
from mempalace_toolkit.index.salvage.coverage import indexed_drawers, labels_of, places_of
from mempalace_toolkit.palace.location import PalaceLocation

_BATCH = 256
_ROWS = 4096
_SUSPICIOUS = 4  # times as many are compared where the files' times are odd
_SECONDS = 5.0  # files of one flush are written within


def _untold(_compared: int, _drawers: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """How to embed texts as MemPalace does: (n,) texts to (n, dimension) f32; and how many.

    Without a `sample` all drawers are compared. `thorough` compares all where the sample holds
    a vector of another text, so that the finding names every one. An `optional` check finds
    nothing where the model fails. `progress` is told how many of how many drawers have been
    compared.
    """

    embed: Callable[[Sequence[str]], NDArray[np.float32]]
    sample: int | None = 16
    thorough: bool = False
    optional: bool = False
    progress: Callable[[int, int], None] = _untold


@dataclass(slots=True)
class _Compared:
    """Drawers by position whose vector is wrong, the vectors of their texts, all compared."""

    wrong: list[int]
    meant: list[NDArray[np.float32]]
    count: int = 0


def check_deeply(palace: PalaceLocation, evidence: Evidence, deep: DeepCheck) -> list[Finding]:
    """Embed drawers' texts again, and compare them with their vectors in the index.

    Only vectors that are proven to be of the drawer's present text are compared: those whose
    row the index has passed. Collections of another dimension than the model's are left out.
    Raises ModelError unless the check is optional.
    """
    try:
        return list(_findings(palace, evidence, deep))
    except ModelError:
        if not deep.optional:
            raise
        return []


def _findings(palace: PalaceLocation, evidence: Evidence, deep: DeepCheck) -> Iterator[Finding]:
    files = evidence.files
    if files is None or files.elements is None or files.id_map is None:
        return
    record, vectors = evidence.record, files.elements.vectors
    places = places_of(files.elements, labels_of(record, files.id_map.labels))
    present = (places >= 0) & indexed_drawers(record)
    comparable = np.flatnonzero(present & _points(vectors, places))
    chosen = comparable
    if deep.sample is not None:
        size = deep.sample * (_SUSPICIOUS if _odd_times(palace, evidence) else 1)
        chosen = choose_sample(record, comparable, size)
    compared = _compare(palace, record, (vectors, places), chosen, deep)
    if compared is None or not compared.wrong:
        return
    swapped = _stand_elsewhere(vectors, np.array(compared.meant))
    whole = deep.sample is None
    if deep.thorough and not whole and not swapped:
        compared = _compare(palace, record, (vectors, places), comparable, deep) or compared
        whole = True
    kind = "labels_swapped" if swapped else "vectors_outdated"
    sampled = "" if whole else f" (a sample of {len(comparable)} was compared)"
    yield Finding(
        kind,
        f"{len(compared.wrong)} of {compared.count} drawers have a vector that is not of their"
        f" text{sampled}",
        record.name,
        record.vector_segment,
        {"wrong": len(compared.wrong), "sample": compared.count, "drawers": len(comparable)},
        {record.ids[at]: int(record.sequences[at]) for at in compared.wrong} if whole else {},
    )


def choose_sample(
    record: CollectionRecord, drawers: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """So many of these drawers: half of them those written again last, half spread over all."""
    if len(drawers) <= size:
        return drawers
    sequences = record.sequences[drawers]
    following = np.minimum.accumulate(sequences[::-1])[::-1]
    again = sequences > following
    order = np.lexsort((sequences, again))
    latest = drawers[order[-(size // 2) :]]
    spread = drawers[np.linspace(0, len(drawers) - 1, size - len(latest)).astype(np.int64)]
    return np.union1d(latest, spread)


def _compare(
    palace: PalaceLocation,
    record: CollectionRecord,
    held: tuple[NDArray[np.float32], NDArray[np.int64]],
    chosen: NDArray[np.int64],
    deep: DeepCheck,
) -> _Compared | None:
    """Compare these drawers, a batch at a time; None where the model's vectors are wider."""
    result = _Compared([], [])
    vectors, places = held
    for start in range(0, len(chosen), _BATCH):
        batch = chosen[start : start + _BATCH]
        texts = read_documents(palace, (int(row) for row in record.row_ids[batch]))
        told = [at for at in batch.tolist() if texts.get(int(record.row_ids[at]))]
        deep.progress(start, len(chosen))
        if not told:
            continue
        embedded = np.asarray(deep.embed([texts[int(record.row_ids[at])] for at in told]))
        if embedded.shape[1:] != vectors.shape[1:]:
            return None
        alike = _cosines(embedded, vectors[places[told]])
        for at, vector in zip(np.flatnonzero(~(alike > ALIKE)), embedded[~(alike > ALIKE)], strict=True):  # fmt: skip # noqa: E501
            result.wrong.append(told[at])
            if len(result.meant) < _BATCH:
                result.meant.append(vector)
        result.count += len(told)
    deep.progress(len(chosen), len(chosen))
    return result


def _cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    first, second = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    result: NDArray[np.float64] = (first * second).sum(1) / np.where(lengths == 0, 1, lengths)
    return result


def _stand_elsewhere(vectors: NDArray[np.float32], meant: NDArray[np.float32]) -> bool:
    """Whether the index holds all of these vectors, only under other drawers' labels."""
    wanted = meant.astype(np.float64)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True) + 1e-12
    found = np.zeros(len(wanted), np.bool_)
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS].astype(np.float64)
        with np.errstate(all="ignore"):
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            found |= (rows @ wanted.T > ALIKE).any(0)
    return bool(found.all())


def _points(vectors: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each drawer's vector points anywhere: others have findings of their own."""
    sound = np.zeros(len(vectors) + 1, np.bool_)  # the last one stands for no place
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS]
        with np.errstate(all="ignore"):
            sound[start : start + len(rows)] = np.isfinite(rows).all(1) & rows.any(1)
    result: NDArray[np.bool_] = sound[places]
    return result


def _odd_times(palace: PalaceLocation, evidence: Evidence) -> bool:
    """A hint, and no proof: a flush writes all files of an index, then the database."""
    assert evidence.files is not None
    try:
        times = [file.stat().st_mtime for file in evidence.files.folder.iterdir()]
        database = palace.database.stat().st_mtime
    except OSError:
        return True
    return max(times) - min(times) > _SECONDS or max(times) > database + _SECONDS
