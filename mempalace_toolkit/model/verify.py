"""Compares the vectors a model gives for fixed sentences with stored ones.

The stored vectors were computed in float64 by a plain numpy BERT from the published weights
(no code shared with graph.py); sentence-transformers on torch agrees with them within 2e-7.
The sentences are embedded the way chromadb does it: 256 tokens, mean of the tokens that count,
length one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.model.encode import encode

TOLERANCE = 1e-5
REFERENCE = Path(__file__).with_name("reference_vectors.json")


@dataclass(frozen=True, slots=True)
class Reference:
    """Sentences and their vectors, one row a sentence."""

    sentences: tuple[str, ...]
    vectors: NDArray[np.float64]


def read_reference(path: Path = REFERENCE) -> Reference:
    """The stored sentences and vectors."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    vectors = np.array([row["vector"] for row in rows], np.float64)
    return Reference(tuple(row["text"] for row in rows), vectors)


def difference(folder: Path, reference: Reference) -> float:
    """The largest absolute difference between any value and its stored one."""
    vectors = encode(folder, reference.sentences, padded=True)
    if vectors.shape != reference.vectors.shape or not np.isfinite(vectors).all():
        return float("inf")
    return float(np.abs(vectors - reference.vectors).max())
