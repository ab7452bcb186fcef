"""Keeps what a repair embeds until its index is sound: a repair that is killed loses none of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import WriteUndoneError
from mempalace_toolkit.index.workers.embedding import Embed
from mempalace_toolkit.mining.embedder_identity import identity_of
from mempalace_toolkit.mining.filing import key_of
from mempalace_toolkit.mining.kept_vectors import (
    KeptVectors,
    VectorWriter,
    digest_of,
    folder_for,
    forget,
)
from mempalace_toolkit.model.encode import DIMENSION
from mempalace_toolkit.pipeline.request import PalaceRequest

_SAMPLE = 16
"""So few texts are embedded to be compared, not to be filed."""


class KeptEmbedding:
    """Embeds texts with `embed`, those alone whose vectors an earlier call has not left behind.

    Vectors lie below `folder`, by the digest of their text, for the `model` and versions that
    made them. Where nothing can be kept the texts are embedded all the same.
    """

    def __init__(self, embed: Embed, folder: Path, model: Path) -> None:
        self._embed = embed
        self._folder = folder
        self._model = model
        self._kept: KeptVectors | None = None
        self._writer: VectorWriter | None = None

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the texts, a row each. Raises ModelError."""
        if len(texts) <= _SAMPLE:
            return self._embed(texts)
        self._open()
        digests = [digest_of(text) for text in texts]
        rows = [self._kept.find(digest) if self._kept else None for digest in digests]
        missing = [place for place, row in enumerate(rows) if row is None]
        if missing:
            made = self._embed([texts[place] for place in missing])
            self._keep([digests[place] for place in missing], made)
            for place, row in zip(missing, made, strict=True):
                rows[place] = row
        return np.array(rows, np.float32)

    def _open(self) -> None:
        if self._writer is not None:
            return
        with suppress(OSError, WriteUndoneError, PackageNotFoundError):
            folder = self._folder / identity_of(self._model)
            self._kept = KeptVectors(folder)
            self._writer = VectorWriter(folder)

    def _keep(self, digests: Sequence[bytes], rows: NDArray[np.float32]) -> None:
        if self._writer is not None and rows.shape[1] == DIMENSION:
            with suppress(WriteUndoneError):
                self._writer.add(digests, rows)


def repair_folder(request: PalaceRequest) -> Path:
    """Where the vectors lie that repairs of this palace have embedded and not yet filed."""
    return folder_for(request.vectors, "repair", key_of(request.palace))


def forget_embedded(request: PalaceRequest) -> None:
    """Remove them: the index is sound."""
    forget(repair_folder(request))
