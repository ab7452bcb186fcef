"""Run as a child: one search by MemPalace's own searcher, asked and answered in JSON.

`python -m mempalace_toolkit.recall.child_search` reads {"palace", "query", "wing", "results",
"reader"} on stdin and writes what `mempalace.searcher.search_memories` returns to stdout. With
the reader "toolkit" vectors and rows are read by the toolkit, and chromadb is not loaded; where
that is not possible the answer is {"not_possible": why}. Whatever MemPalace and chromadb print
goes to stderr.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mempalace_toolkit.model.encode import Encoder


def main() -> None:
    """Answer the question on stdin."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    found = _read_by_the_toolkit(asked) if asked["reader"] == "toolkit" else _search(asked)
    with answer:
        json.dump(found, answer, default=str)
    # Nothing is left to do, and taking apart what was loaded takes as long as a search.
    os._exit(0)


def _search(asked: Mapping[str, Any]) -> dict[str, Any]:
    search = importlib.import_module("mempalace.searcher").search_memories
    found: dict[str, Any] = search(
        asked["query"], asked["palace"], wing=asked["wing"], n_results=asked["results"]
    )
    return found


def _read_by_the_toolkit(asked: Mapping[str, Any]) -> dict[str, Any]:
    gc.disable()  # it would look through some hundred thousand new objects, and free none
    # Before numpy is loaded: more threads of its BLAS are slower for one question.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        # What holds Python's lock first; then loading the model, which does not, goes on beside
        # all the rest and takes as long.
        for package in ("numpy", "onnxruntime", "tokenizers"):
            importlib.import_module(package)
        model = _Loading(_load_encoder)
        return _search_own(asked, model)
    except Exception as error:
        # Whatever it is, MemPalace's own way is still there.
        return {"not_possible": f"{error or type(error).__name__}"}


class _Loading(Thread):
    """Calls a function in a thread of its own; `result` waits for it, and raises what it did."""

    def __init__(self, load: Callable[[], Encoder]) -> None:
        super().__init__(daemon=True)
        self._load = load
        self._loaded: Encoder | None = None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._loaded = self._load()
        except Exception as error:  # raised where the result is asked for
            self._error = error

    def result(self) -> Encoder:
        self.join()
        if self._loaded is None:
            raise self._error or RuntimeError("the model was not loaded")
        return self._loaded


def _load_encoder() -> Encoder:
    from mempalace_toolkit.model.encode import Encoder
    from mempalace_toolkit.model.location import model_folder

    return Encoder(model_folder(Path.home()))


def _search_own(asked: Mapping[str, Any], model: _Loading) -> dict[str, Any]:
    from mempalace_toolkit.palace.location import PalaceLocation
    from mempalace_toolkit.recall.following import FollowedPalace
    from mempalace_toolkit.recall.tools import CLOSETS, NotPossibleError, Reader, put_in_place
    from mempalace_toolkit.recall.without_chromadb import stand_in

    missed = stand_in()

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return model.result()(texts)

    palace = PalaceLocation(Path(asked["palace"]), "chroma", "minilm")
    reader = Reader(FollowedPalace(palace), embed)
    put_in_place(reader)
    name = importlib.import_module("mempalace.config").get_configured_collection_name()
    if reader.collection(name) is None:
        raise NotPossibleError(f"there is no collection {name}")
    reader.collection(CLOSETS)
    found = _search(asked)
    trouble = [*reader.failures, *missed]
    if trouble or found.get("error"):
        raise NotPossibleError("; ".join(trouble) or str(found["error"]))
    return found


if __name__ == "__main__":
    main()
