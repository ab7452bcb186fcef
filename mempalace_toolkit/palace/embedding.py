"""Embeds texts in a child process, with the model that the palace was filled with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import MempalaceError, ModelError
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.spawn import ChildTask, run_child

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Vectors of texts, a row each."""

MINILM_DIMENSION = 384
_START_SECONDS = 120.0
_TEXT_SECONDS = 2.0


def palace_embedder(palace: PalaceLocation, environment: Mapping[str, str]) -> Embed | None:
    """How the palace's texts are embedded; None for a model that is not known here.

    What it gives back raises ModelError where the model is missing or fails.
    """
    if palace.embedding_model != "minilm":
        return None

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        task = ChildTask(
            "child_embed",
            {"texts": list(texts)},
            environment,
            _START_SECONDS + _TEXT_SECONDS * len(texts),
            largest_file=1 << 30,
        )
        try:
            rows = np.array(run_child(task)["vectors"], np.float32)
        except MempalaceError as error:
            raise ModelError(error.message, "run `mempalace-toolkit model ensure`") from error
        return rows.reshape(len(texts), MINILM_DIMENSION)

    return embed
