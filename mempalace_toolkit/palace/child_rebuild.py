"""Run as a child: builds an index of ids and vectors alone in a scratch palace.

Its stdin is the task, then for each block a JSON list of ids and their vectors as raw f32.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.palace.child_setting import answer, begin, open_client


def main() -> None:
    """Build it and print the segment folder's name."""
    task = begin()
    total = int(task["total"])
    # chromadb flushes when so many operations were done, and refuses a threshold below two.
    threshold = max(2, total)
    client = open_client(task["folder"])
    collection = client.create_collection(
        "rebuilt",
        metadata={
            "hnsw:space": task["space"],
            "hnsw:M": task["m"],
            "hnsw:construction_ef": task["ef_construction"],
            "hnsw:num_threads": task["threads"],
            "hnsw:batch_size": min(100, threshold),
            "hnsw:sync_threshold": threshold,
        },
        embedding_function=None,
    )
    most = client.get_max_batch_size()
    last: tuple[list[str], NDArray[np.float32]] | None = None
    for ids, vectors in read_blocks(int(task["dimension"])):
        for part in range(0, len(ids), most):
            some = slice(part, part + most)
            collection.upsert(ids=ids[some], embeddings=vectors[some])
        last = ids, vectors
    if total == 1 and last:
        collection.upsert(ids=last[0], embeddings=last[1])
    answer({"segment": _segment(Path(task["folder"]), collection)})


def read_blocks(dimension: int) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """The stream's blocks: ids and a row each."""
    while line := sys.stdin.buffer.readline():
        ids: list[str] = json.loads(line)
        data = sys.stdin.buffer.read(4 * dimension * len(ids))
        yield ids, np.frombuffer(data, "<f4").reshape(len(ids), dimension)


def _segment(folder: Path, collection: Any) -> str:
    """The one folder there is, once a query has had chromadb catch up."""
    collection.query(query_embeddings=[[1.0] * int(_dimension(collection))], n_results=1)
    return next(path.name for path in folder.iterdir() if path.is_dir())


def _dimension(collection: Any) -> int:
    return len(collection.peek(1)["embeddings"][0])


if __name__ == "__main__":
    main()
