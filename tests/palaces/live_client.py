"""Run as a child: a chromadb client that keeps the drawers' index open. PALACE.

It says `open` once it has it open. For each line `START COUNT` on stdin it upserts so many
drawers and says `written`, or how that failed; it ends when stdin does.
"""

from __future__ import annotations

import sys

from tests.palaces.building import open_palace, perform
from tests.palaces.making import DRAWERS, Operation, drawer, embed


def main() -> None:
    """Be a client."""
    collection = open_palace(sys.argv[1]).get_collection(DRAWERS)
    collection.query(query_embeddings=embed(["a"], 384), n_results=1, include=[])
    print("open", flush=True)
    for line in sys.stdin:
        start, count = map(int, line.split())
        try:
            for number in range(start, start + count, 10):
                drawers = tuple(drawer(DRAWERS, n) for n in range(number, number + 10))
                perform(collection, Operation(DRAWERS, "upsert", drawers), 384)
            print("written", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
