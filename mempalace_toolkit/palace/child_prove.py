"""Run as a child: asks a collection for as many drawers as it has, and for known ones."""

from __future__ import annotations

import numpy as np

from mempalace_toolkit.palace.child_rebuild import read_blocks
from mempalace_toolkit.palace.child_setting import answer, begin, open_client


def main() -> None:
    """Query, and print what was reached.

    A known drawer is found where a query for its vector brings it among the first three, or
    brings others that are as near as itself: drawers with one text share their vector, and
    by inner product a longer vector is nearer.
    """
    task = begin()
    client = open_client(task["folder"])
    collection = client.get_collection(task["collection"], embedding_function=None)
    count, reached, found = collection.count(), 0, []
    for ids, vectors in read_blocks(int(task["dimension"])):
        if not reached:
            every = collection.query(
                query_embeddings=vectors[:1], n_results=max(1, count), include=[]
            )
            reached = len(set(every["ids"][0]))
        nearest = collection.query(query_embeddings=vectors, n_results=3, include=["distances"])
        own = 1 - np.sum(vectors**2, axis=1) if task["space"] == "ip" else np.zeros(len(ids))
        for one, hits, distances, itself in zip(
            ids, nearest["ids"], nearest["distances"], own, strict=True
        ):
            if one in hits or (distances and distances[0] <= itself + 1e-5):
                found.append(one)
    answer({"count": count, "reached": reached, "found": len(found)})


if __name__ == "__main__":
    main()
