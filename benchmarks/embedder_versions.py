"""Whether the vectors made ahead are chromadb's to the last bit, on every version supported.

    python -m benchmarks.embedder_versions [VERSION ...]

Installs each version of chromadb that MemPalace 3.11 takes (1.5.4 and later, below 2) into a
folder of its own, and compares texts of every length, stock and ours, in a process that imports
it from there. Exit status 1 if a version differs, or is not known by what it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = ("1.5.4", "1.5.5", "1.5.6", "1.5.7", "1.5.8", "1.5.9")

COMPARE = """
import random, chromadb, mempalace.embedding
from pathlib import Path
from mempalace_toolkit.mining.embedder_identity import is_plain
from mempalace_toolkit.model.encode import Encoder
from mempalace_toolkit.model.location import model_folder
folder, embedder = model_folder(Path.home()), mempalace.embedding.get_embedding_function()
dice, words = random.Random(1), Path({words!r}).read_text().split() + ["鷺", "🪶", "naïve"]
texts = [" ".join(dice.choices(words, k=n)) for n in [*range(0, 140, 3), 300]]
own, theirs = Encoder(folder)(texts), embedder(texts)
same = sum(a.tobytes() == b.tobytes() for a, b in zip(own, theirs, strict=True))
known = is_plain(embedder, folder)
print(f"chromadb {{chromadb.__version__}}: known {{known}}, {{same}} of {{len(texts)}} equal")
raise SystemExit(not (known and same == len(texts)))
"""


def main() -> int:
    """Install, compare, print a line a version."""
    return max([_compare(version) for version in sys.argv[1:] or VERSIONS])


def _compare(version: str) -> int:
    words = str(Path(__file__).parents[1] / "ARCHITECTURE.md")
    with tempfile.TemporaryDirectory(prefix="chromadb-") as folder:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder]
        subprocess.run([*pip, f"chromadb=={version}"], check=True)
        environment = {**os.environ, "PYTHONPATH": folder, "ORT_DISABLE_TELEMETRY": "1"}
        compare = [sys.executable, "-P", "-c", COMPARE.format(words=words)]
        return subprocess.run(compare, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
