"""The nearest vectors, all of them compared: no neighbour is missed, as an HNSW graph may.

Distances are those that chromadb reports: cosine and inner product as 1 less the product, l2 as
the square. numpy's BLAS is to have one thread (`OPENBLAS_NUM_THREADS=1`): more are slower for
palaces of this size, and would take the cores of others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.recall.vectors import Vectors

_SPARE = 32
"""So many more than asked for are compared again, each by itself: a product of a whole block
gives the same vector other last bits at another row."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A drawer and its distance."""

    id: str
    distance: float


def nearest(
    vectors: Vectors,
    question: NDArray[np.float32],
    count: int,
    allowed: NDArray[np.bool_] | None = None,
) -> list[Neighbour]:
    """The `count` nearest drawers, nearest first; equally near ones as chromadb took them in.

    `allowed` says of each place whether it may be found; None: all. Raises ValueError where the
    question has another number of dimensions.
    """
    if question.shape != (vectors.dimension,):
        raise ValueError(
            f"a question of {question.size} numbers in an index of {vectors.dimension}"
        )
    if not vectors.places or count < 1:
        return []
    question = vectors.comparable(np.asarray(question, np.float32))
    distances = _distances(vectors, question)
    for place in vectors.free_places():
        distances[place] = np.inf
    if allowed is not None:
        distances[~allowed] = np.inf
    wanted = min(count + _SPARE, len(distances))
    chosen = np.argpartition(distances, wanted - 1)[:wanted]
    chosen = chosen[np.isfinite(distances[chosen])]
    exact = _exact(vectors.stored(chosen.tolist()), question, vectors.space)
    labels = np.array([vectors.labels[place] for place in chosen.tolist()], np.int64)
    order = np.lexsort((labels, exact))[:count]
    found = []
    for row in order.tolist():
        identity = vectors.ids[int(chosen[row])]
        if identity is not None:
            found.append(Neighbour(identity, float(exact[row])))
    return found


def _distances(vectors: Vectors, question: NDArray[np.float32]) -> NDArray[np.float32]:
    """To the vector at each place, good enough to choose by."""
    out = np.empty(len(vectors.ids), np.float32)
    with np.errstate(all="ignore"):  # free places hold anything
        for start, rows in vectors.filled():
            part = slice(start, start + len(rows))
            if vectors.space == "l2":
                apart = rows - question
                out[part] = np.einsum("ij,ij->i", apart, apart)
            else:
                out[part] = 1 - rows @ question
    return out


def _exact(
    rows: NDArray[np.float32], question: NDArray[np.float32], space: str
) -> NDArray[np.float32]:
    """The same for each row by itself: equal vectors are equally far."""
    wide, asked = rows.astype(np.float64), question.astype(np.float64)
    result = ((wide - asked) ** 2).sum(axis=1) if space == "l2" else 1 - (wide * asked).sum(axis=1)
    return np.asarray(result, np.float32)
