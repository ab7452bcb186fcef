"""Run as a child: asks a collection for as many drawers as it has, and for known ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.index.workers.child_protocol import answer, begin, open_client
from mempalace_toolkit.index.workers.child_rebuild import read_blocks


def main() -> None:
    """Query, and print what was reached."""
    task = begin()
    client = open_client(task["folder"], task["tenant"], task["database"])
    collection = client.get_collection(task["collection"], embedding_function=None)
    answer(ask(collection, task["space"], read_blocks(int(task["dimension"]))))


def ask(
    collection: Any, space: str, blocks: Iterable[tuple[list[str], NDArray[np.float32]]]
) -> dict[str, int]:
    """What a query for all drawers reaches, and how many of the known ones in blocks are found.

    A known drawer is found where a query for its vector brings it among the first three, or
    brings others that are as near as itself: drawers with one text share their vector, and
    by inner product a longer vector is nearer.
    """
    count, reached, found = collection.count(), 0, 0
    for ids, vectors in blocks:
        if not reached:
            every = collection.query(
                query_embeddings=vectors[:1], n_results=max(1, count), include=[]
            )
            reached = len(set(every["ids"][0]))
        nearest = collection.query(query_embeddings=vectors, n_results=3, include=["distances"])
        own = 1 - np.sum(vectors**2, axis=1) if space == "ip" else np.zeros(len(ids))
        for one, hits, distances, itself in zip(
            ids, nearest["ids"], nearest["distances"], own, strict=True
        ):
            found += one in hits or bool(distances and distances[0] <= itself + 1e-5)
    return {"count": count, "reached": reached, "found": found}


if __name__ == "__main__":
    main()
