"""Run as a child: embeds the drawers of pages before they are mined, and keeps their vectors.

Its task is JSON on stdin: the pages, the palace, the folder to keep vectors in. MemPalace's own
normaliser and chunker say which texts a page becomes; a text that they make otherwise later has
no kept vector then, and is embedded while it is mined. Lines that begin with MARK are for the
parent: how many texts there are, then each step. Nothing is kept unless the vectors of some
texts are those of MemPalace's own embedder to the last bit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from mempalace.config import MempalaceConfig
from mempalace.convo_miner import MIN_CHUNK_SIZE, chunk_exchanges
from mempalace.embedding import get_embedding_function
from mempalace.normalize import normalize_conversations

from mempalace_toolkit.children import end_with_parent
from mempalace_toolkit.mining.embedder_identity import identity_of, is_plain
from mempalace_toolkit.mining.kept_vectors import KeptVectors, VectorWriter, digest_of, forget
from mempalace_toolkit.model.encode import Encoder
from mempalace_toolkit.model.location import model_folder

MARK = "@vectors "
NICE = 10
AT_ONCE = 16
MOST_KEPT = 400_000
"""So many vectors take 630 MB; the drawers beyond them are embedded while they are mined."""

PROBE = "probe"
"""What MemPalace embeds when it opens a palace, to learn the number of dimensions."""

SAMPLES = (
    PROBE,
    "Wie schwer ist der Reiher? 鷺 🪶 naïve",
    "> Which index holds the vectors?\nThe one in the segment's folder. " * 8,
    "one two three four five six seven eight nine ten " * 60,
)


def main() -> None:
    """Embed what is not kept yet."""
    end_with_parent(signal.SIGTERM)
    os.nice(NICE)
    task = json.load(sys.stdin)
    model = model_folder(Path.home())
    folder = Path(task["folder"]) / identity_of(model)
    embedder = get_embedding_function()
    if not is_plain(embedder, model):
        print("vectors are not computed in advance: MemPalace embeds another way here")
        return
    encoder = Encoder(model)
    kept = KeptVectors(folder)
    if not _same(embedder, encoder, kept):
        forget(folder)
        print(
            "vectors are not computed in advance:"
            " they would differ from those of MemPalace's own embedder"
        )
        return
    pages = task["pages"]
    config: Any = MempalaceConfig(palace_path=task["palace"])  # type: ignore[no-untyped-call]
    missing = sum(1 for _ in _missing(pages, config, kept))
    _tell({"total": missing})
    if missing:
        _embed(encoder, folder, _missing(pages, config, kept))


def _same(embedder: Any, encoder: Encoder, kept: KeptVectors) -> bool:
    """Whether our vectors, kept ones too, are the embedder's to the last bit."""
    theirs = np.asarray(embedder(list(SAMPLES)), np.float32)
    vars(embedder).pop("model", None)  # it takes 200 MB
    earlier = [kept.find(digest_of(text)) for text in SAMPLES]
    return encoder(SAMPLES).tobytes() == theirs.tobytes() and all(
        row is None or row.tobytes() == own.tobytes()
        for row, own in zip(earlier, theirs, strict=True)
    )


def _missing(pages: Iterable[str], config: Any, kept: KeptVectors) -> Iterator[str]:
    """The texts of the pages that are not kept, each once."""
    seen: set[bytes] = set()
    for text in _texts(pages, config):
        digest = digest_of(text)
        if digest not in seen and kept.find(digest) is None:
            seen.add(digest)
            yield text
        if len(seen) + len(kept) >= MOST_KEPT:
            return


def _texts(pages: Iterable[str], config: Any) -> Iterator[str]:
    """The drawers that `mempalace mine --mode convos` makes of the pages (3.11: convo_miner)."""
    yield from SAMPLES
    least = config.min_chunk_size_explicit
    for page in pages:
        try:
            content = "\n\n".join(filter(None, normalize_conversations(page)))
        except (OSError, ValueError):
            continue
        chunks = chunk_exchanges(
            content,
            chunk_size=config.chunk_size,
            min_chunk_size=MIN_CHUNK_SIZE if least is None else least,
        )
        yield from (chunk["content"] for chunk in chunks)


def _embed(encoder: Encoder, folder: Path, texts: Iterator[str]) -> None:
    writer = VectorWriter(folder)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        while some := list(islice(texts, AT_ONCE * cores)):
            for group, rows in _encoded(encoder, pool, sorted(some, key=len), cores):
                writer.add([digest_of(text) for text in group], rows)
                _tell({"done": len(group)})
    writer.close()


def _encoded(
    encoder: Encoder, pool: ThreadPoolExecutor, texts: Sequence[str], groups: int
) -> Iterator[tuple[Sequence[str], Any]]:
    """Texts in groups of about the same work, with their vectors, as they are done."""
    parts = [texts[start::groups] for start in range(min(groups, len(texts)))]
    yield from zip(parts, pool.map(encoder, parts), strict=True)


def _tell(what: dict[str, int]) -> None:
    print(MARK + json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
