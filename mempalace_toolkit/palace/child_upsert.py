"""Run as a child: writes vectors of drawers that the index lacks, through the palace's client.

Only vectors are passed: documents and metadata stay as they are. Stdin is as child_rebuild's.
"""

from __future__ import annotations

from mempalace_toolkit.palace.child_rebuild import read_blocks
from mempalace_toolkit.palace.child_setting import answer, begin, open_client


def main() -> None:
    """Write them and print how many."""
    task = begin()
    client = open_client(task["folder"])
    collection = client.get_collection(task["collection"], embedding_function=None)
    written = 0
    for ids, vectors in read_blocks(int(task["dimension"])):
        collection.upsert(ids=ids, embeddings=vectors)
        written += len(ids)
    answer({"written": written})


if __name__ == "__main__":
    main()
