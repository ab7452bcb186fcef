"""Palaces of any size for benchmarks, their vectors passed in, and the same vectors again.

Vectors lie near a plane of 12 dimensions in 384. Indexing 2,000 of them takes as long as 2,000
MiniLM vectors of docstrings do (0.20 to 0.22 s of processor time each; of 8 dimensions 0.19, of
24 0.25).
"""

from __future__ import annotations

import json
import pickle
import random
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLLECTION = "mempalace_drawers"
DIMENSION = 384
_LATENT, _NOISE = 12, 0.05
_BLOCK = 500
_WORDS = [a + b + c for a in ("con", "re", "de", "in") for b in ("form", "text") for c in "sdt"]
_NUMBER = re.compile(r"drawer (\d+) of the benchmark")


def vectors(start: int, count: int) -> NDArray[np.float32]:
    """The vectors of these drawers, of length one; always the same for the same drawer."""
    basis = np.random.default_rng(5).standard_normal((_LATENT, DIMENSION))
    rows = np.empty((count, DIMENSION))
    for row, number in enumerate(range(start, start + count)):
        own = np.random.default_rng(number)
        noise = _NOISE * own.standard_normal(DIMENSION)
        rows[row] = own.standard_normal(_LATENT) @ basis + noise
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32)


def text(number: int) -> str:
    """The text of a drawer: some 100 words, as in a drawer of 800 characters."""
    some = random.Random(number)
    words = " ".join(some.choice(_WORDS) for _ in range(100))
    return f"This is drawer {number} of the benchmark: {words}"


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors that drawers with these texts were given."""
    numbers = [int(found[1]) for found in map(_NUMBER.search, texts) if found]
    assert len(numbers) == len(texts)
    return np.concatenate([vectors(number, 1) for number in numbers])


def blocks(total: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """All vectors in blocks, each with its first drawer's number."""
    for start in range(0, total, _BLOCK):
        yield start, vectors(start, min(_BLOCK, total - start))


def make_palace(folder: Path, total: int) -> None:
    """Write a palace through chromadb's client, as MemPalace sets it up."""
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False)
    collection = chromadb.PersistentClient(str(folder), settings=settings).create_collection(
        COLLECTION,
        metadata={"hnsw:space": "cosine", "hnsw:sync_threshold": 1000, "hnsw:batch_size": 100},
        embedding_function=None,
    )
    for start, rows in blocks(total):
        numbers = range(start, start + len(rows))
        collection.upsert(
            ids=[f"drawer_benchmark_{number:08d}" for number in numbers],
            embeddings=rows,
            documents=[text(number) for number in numbers],
            metadatas=[
                {"wing": "benchmark", "room": "technical", "source_file": f"/s/{number // 8}.jsonl"}
                for number in numbers
            ],
        )


def segment(palace: Path) -> Path:
    """The palace's one live index folder."""
    found = [path.parent for path in palace.glob("*/header.bin") if "." not in path.parent.name]
    assert len(found) == 1, found
    return found[0]


def break_graph(palace: Path) -> None:
    """Lose every link of the upper layers: chromadb dies of it by SIGSEGV."""
    links = segment(palace) / "link_lists.bin"
    links.write_bytes(bytes(links.stat().st_size))


def drop_vectors(palace: Path, every: int) -> int:
    """Lose one drawer in so many from the index; how many were lost.

    Their elements are deleted ones with the vector of a neighbour, so that none is salvaged.
    """
    folder = segment(palace)
    with (folder / "index_metadata.pickle").open("rb") as file:
        content = pickle.load(file)
    header = (folder / "header.bin").read_bytes()
    count, size, label_at, vector_at = struct.unpack_from("<QQQQ", header, 20)
    rows = np.memmap(folder / "data_level0.bin", np.uint8, "r+", shape=(count, size))
    places = {label: place for place, label in enumerate(_labels(rows, label_at).tolist())}
    lost = list(content["id_to_label"])[::every]
    for name in lost:
        label = content["id_to_label"].pop(name)
        del content["label_to_id"][label]
        rows[places[label], 2] |= 1
        other = rows[(places[label] + 1) % count, vector_at : vector_at + 4 * DIMENSION]
        rows[places[label], vector_at : vector_at + 4 * DIMENSION] = other
    rows.flush()
    with (folder / "index_metadata.pickle").open("wb") as file:
        pickler = pickle.Pickler(file, protocol=3)
        pickler.fast = True  # as chromadb writes it: without memo
        pickler.dump(content)
    return len(lost)


def _labels(rows: np.memmap[Any, np.dtype[np.uint8]], at: int) -> NDArray[np.uint64]:
    return np.ascontiguousarray(rows[:, at : at + 8]).view("<u8")[:, 0]


if __name__ == "__main__":
    make_palace(Path(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps({"made": int(sys.argv[2])}))
