"""Run as a child: writes vectors of drawers that the index lacks, and asks for what is there then.

Only vectors are passed: documents and metadata stay as they are. Stdin is as child_rebuild's;
after an empty block come the known drawers to ask for. So the index is loaded once.
"""

from __future__ import annotations

from mempalace_toolkit.index.workers.child_protocol import answer, begin, open_client
from mempalace_toolkit.index.workers.child_prove import ask
from mempalace_toolkit.index.workers.child_rebuild import read_blocks


def main() -> None:
    """Write them, and print how many and what was reached."""
    task = begin()
    client = open_client(task["folder"], task["tenant"], task["database"])
    collection = client.get_collection(task["collection"], embedding_function=None)
    dimension = int(task["dimension"])
    written = 0
    for ids, vectors in read_blocks(dimension):
        collection.upsert(ids=ids, embeddings=vectors)
        written += len(ids)
    answer({"written": written, **ask(collection, task["space"], read_blocks(dimension))})


if __name__ == "__main__":
    main()
