"""Run as a child: embeds the task's texts with MiniLM, MemPalace's default, as chromadb would."""

from __future__ import annotations

import os
from pathlib import Path

from mempalace_toolkit.model.encode import encode
from mempalace_toolkit.model.location import model_folder
from mempalace_toolkit.palace.child_setting import answer, begin


def main() -> None:
    """Embed, and print the vectors as lists."""
    task = begin()
    vectors = encode(model_folder(Path.home()), task["texts"], threads=os.cpu_count() or 1)
    answer({"vectors": vectors.tolist()})


if __name__ == "__main__":
    main()
