"""Run as a child: builds an index of ids and vectors alone, in a scratch palace.

Its stdin is the task, then for each block a JSON list of ids and their vectors as raw f32. In
parallel the graph is built by faiss and the files are written here; otherwise chromadb does
both, on one core. Either way chromadb can open the scratch palace and answer from the index.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.segment.writing import write_segment
from mempalace_toolkit.index.graph.parallel import GraphTask, build_graph
from mempalace_toolkit.index.workers.child_protocol import answer, begin, open_client


def main() -> None:
    """Build it and print the segment folder's name."""
    task = begin()
    # chromadb flushes when so many operations were done, and refuses a threshold below two.
    threshold = max(2, int(task["total"]))
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
    if task["parallel"]:
        segment = _build_in_parallel(task)
    else:
        segment = _build_by_chromadb(task, client, collection)
    answer({"segment": segment})


def read_blocks(dimension: int) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """The stream's blocks, ids and a row each, until it ends or a block is empty."""
    while line := sys.stdin.buffer.readline():
        ids: list[str] = json.loads(line)
        if not ids:
            return
        data = sys.stdin.buffer.read(4 * dimension * len(ids))
        yield ids, np.frombuffer(data, "<f4").reshape(len(ids), dimension)


def _build_in_parallel(task: dict[str, Any]) -> str:
    folder, dimension = Path(task["folder"]), int(task["dimension"])
    ids: list[str] = []

    def vectors() -> Iterator[NDArray[np.float32]]:
        for some, rows in read_blocks(dimension):
            ids.extend(some)
            yield rows

    wanted = GraphTask(
        task["space"], dimension, task["m"], task["ef_construction"], task["threads"]
    )
    built = build_graph(wanted, vectors())
    segment = _describe(folder / "chroma.sqlite3", ids, dimension)
    (folder / segment).mkdir()
    if built is not None:
        write_segment(folder / segment, ids, *built)
    return segment


def _describe(database: Path, ids: list[str], dimension: int) -> str:
    """Give the one collection these drawers, flushed; the name of its index folder."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("pragma synchronous = off")
        segments = dict(connection.execute("select scope, id from segments").fetchall())
        connection.execute("update collections set dimension = ?", [dimension])
        connection.executemany(
            "insert into embeddings (id, segment_id, embedding_id, seq_id) values (?, ?, ?, ?)",
            ((at, segments["METADATA"], one, at) for at, one in enumerate(ids, 1)),
        )
        connection.executemany(
            "insert into max_seq_id (segment_id, seq_id) values (?, ?)",
            [(segment, len(ids)) for segment in segments.values()],
        )
    return str(segments["VECTOR"])


def _build_by_chromadb(task: dict[str, Any], client: Any, collection: Any) -> str:
    most = client.get_max_batch_size()
    last: tuple[list[str], NDArray[np.float32]] | None = None
    for ids, vectors in read_blocks(int(task["dimension"])):
        for part in range(0, len(ids), most):
            some = slice(part, part + most)
            collection.upsert(ids=ids[some], embeddings=vectors[some])
        last = ids, vectors
    if int(task["total"]) == 1 and last:
        collection.upsert(ids=last[0], embeddings=last[1])
    return _segment(Path(task["folder"]), collection)


def _segment(folder: Path, collection: Any) -> str:
    """The one folder there is, once a query has had chromadb catch up."""
    collection.query(query_embeddings=[[1.0] * int(_dimension(collection))], n_results=1)
    return next(path.name for path in folder.iterdir() if path.is_dir())


def _dimension(collection: Any) -> int:
    return len(collection.peek(1)["embeddings"][0])


if __name__ == "__main__":
    main()
