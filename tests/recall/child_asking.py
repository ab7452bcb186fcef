"""Run as a child: answers many questions by MemPalace's code, read by chromadb or by the toolkit.

READER PALACE: a JSON list on stdin, `{"tool": name, ...arguments}` each: `search` is
`search_memories`, others are tools of MemPalace's server. A JSON list of answers goes to stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.model.encode import Encoder
from mempalace_toolkit.model.location import model_folder
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.recall.following import FollowedPalace
from mempalace_toolkit.recall.tools import Reader, put_in_place
from mempalace_toolkit.recall.without_chromadb import stand_in


def remembering(encoder: Encoder) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """The encoder, each text once."""
    known: dict[str, NDArray[np.float32]] = {}

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        known.update((text, encoder([text])[0]) for text in texts if text not in known)
        return np.array([known[text] for text in texts])

    return embed


def main() -> None:
    """Answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    by_toolkit, palace = sys.argv[1] == "toolkit", Path(sys.argv[2])
    asked = json.load(sys.stdin)
    server = any(one["tool"] != "search" for one in asked)
    embed = remembering(Encoder(model_folder(Path.home())))
    missed = stand_in() if by_toolkit and not server else []
    reader = Reader(FollowedPalace(PalaceLocation(palace, "chroma", "minilm")), embed)
    sys.argv = sys.argv[:1]
    if by_toolkit:
        put_in_place(reader, server)
    else:
        # The same vector to the last bit, as other tests show, and ten times as fast.
        stock: Any = importlib.import_module("chromadb.utils.embedding_functions")

        def forward(_: Any, documents: Sequence[str], batch_size: int = 32) -> Any:
            return embed(documents)

        stock.ONNXMiniLM_L6_V2._forward = forward
    module: Any = importlib.import_module(
        "mempalace.mcp_server" if server else "mempalace.searcher"
    )
    with answers:
        json.dump([answer(module, dict(one), str(palace)) for one in asked], answers, default=str)
    assert missed == [] and reader.failures == [], (missed, reader.failures)


def answer(module: Any, asked: dict[str, Any], palace: str) -> Any:
    """One answer; what was raised, as text."""
    tool = asked.pop("tool")
    if tool == "search":
        return module.search_memories(palace_path=palace, **asked)
    return getattr(module, tool)(**asked)


if __name__ == "__main__":
    main()
