"""Run as a child: embeds texts with MiniLM, MemPalace's default, as chromadb would.

Each line of its stdin is a JSON list of texts; its answer is a line with the number of rows,
then the rows as raw f32. It ends where nobody asks for so many seconds as its argument says,
so that the model takes no memory beside an index that is built.
"""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

from mempalace_toolkit.model.encode import Encoder
from mempalace_toolkit.model.location import model_folder
from mempalace_toolkit.palace.child_setting import limit_files

_LARGEST_FILE = 1 << 30


def main() -> None:
    """Answer until the parent is gone or silent. Its death shows as the end of stdin, too."""
    limit_files(_LARGEST_FILE)
    asked, encoder = sys.stdin.fileno(), None
    while select.select([asked], [], [], float(sys.argv[1]))[0]:
        texts = _line(asked)
        if not texts:
            return
        encoder = encoder or Encoder(model_folder(Path.home()), threads=os.cpu_count() or 1)
        vectors = encoder(json.loads(texts))
        sys.stdout.buffer.write(json.dumps(len(vectors)).encode() + b"\n")
        sys.stdout.buffer.write(vectors.astype("<f4").tobytes())
        sys.stdout.buffer.flush()


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
