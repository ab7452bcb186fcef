"""Run as a child: embeds texts with MiniLM as chromadb would, or with MemPalace's own model.

Its arguments are "minilm" or "mempalace", and after how many seconds without a question it ends,
so that the model takes no memory beside an index that is built. Each line of its stdin is a JSON
list of texts; its answer is a line with the numbers of rows and columns, then raw f32.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.index.workers.child_protocol import limit_files
from mempalace_toolkit.model.location import model_folder

Encode = Callable[[list[str]], NDArray[np.float32]]

_LARGEST_FILE = 1 << 30


def main() -> None:
    """Answer until the parent is gone or silent. Its death shows as the end of stdin, too."""
    limit_files(_LARGEST_FILE)
    asked, encoder = sys.stdin.fileno(), None
    while select.select([asked], [], [], float(sys.argv[2]))[0]:
        texts = _line(asked)
        if not texts:
            return
        encoder = encoder or _ENCODERS[sys.argv[1]]()
        vectors = encoder(json.loads(texts))
        sys.stdout.buffer.write(json.dumps(vectors.shape).encode() + b"\n")
        sys.stdout.buffer.write(vectors.astype("<f4").tobytes())
        sys.stdout.buffer.flush()


def _minilm() -> Encode:
    from mempalace_toolkit.model.encode import Encoder

    return Encoder(model_folder(Path.home()), threads=os.cpu_count() or 1)


def _mempalace() -> Encode:
    """What MemPalace embeds with: its own factory, by its own configuration."""
    from mempalace.embedding import get_embedding_function

    embed = get_embedding_function()

    def encode(texts: list[str]) -> NDArray[np.float32]:
        rows = embed(texts) if texts else np.zeros((0, 1))
        return np.asarray(rows, np.float32).reshape(len(texts), -1)

    return encode


_ENCODERS = {"minilm": _minilm, "mempalace": _mempalace}


def _line(descriptor: int) -> bytes:
    """The next line; a writer sends no second one before it has its answer."""
    said = b""
    while not said.endswith(b"\n"):
        piece = os.read(descriptor, 1 << 20)
        if not piece:
            return b""
        said += piece
    return said


if __name__ == "__main__":
    main()
