"""Has chromadb's MiniLM take vectors that are kept, and compute the others itself.

For the child that mines. What is not known, not whole or not expected goes MemPalace's own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mempalace_toolkit.mining.embedder_identity import identity_of, is_plain, stock_class
from mempalace_toolkit.mining.kept_vectors import KeptVectors, digest_of
from mempalace_toolkit.model.location import model_folder

BATCH = 32


@dataclass(slots=True)
class Tally:
    """How many vectors were found, and how many MemPalace's own embedder made."""

    found: int = 0
    made: int = 0


def take_kept_vectors(folder: Path, home: Path) -> Tally | None:
    """From now on chromadb's MiniLM looks below `folder` first. None where nothing is there."""
    model = model_folder(home)
    stock = stock_class() if folder.is_dir() else None
    if stock is None:
        return None
    kept, tally = KeptVectors(folder / identity_of(model)), Tally()
    if not len(kept):
        return None
    _replace(stock, kept, model, tally)
    return tally


def _replace(stock: Any, kept: KeptVectors, model: Path, tally: Tally) -> None:
    compute = stock._forward

    def forward(self: Any, documents: Sequence[str], batch_size: int = BATCH) -> Any:
        if not is_plain(self, model):
            return compute(self, documents, batch_size)
        found = [kept.find(digest_of(text)) for text in documents]
        missing = [text for text, row in zip(documents, found, strict=True) if row is None]
        tally.found += len(found) - len(missing)
        tally.made += len(missing)
        if len(missing) == len(documents):
            return compute(self, documents, batch_size)
        computed = iter(compute(self, missing, batch_size) if missing else ())
        rows = [next(computed) if row is None else row for row in found]
        return np.stack(rows).astype(np.float32)

    stock._forward = forward
