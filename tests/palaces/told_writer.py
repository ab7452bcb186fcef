"""Run as a child: a chromadb client that does one operation for each line on stdin. PALACE.

The operations are those of `making.writing(SEED, START)`, in their order. It says `done` after
each, and ends when stdin does. A line `fresh` has it open the palace anew first.
"""

from __future__ import annotations

import sys

from tests.palaces.building import open_palace, perform
from tests.palaces.making import writing

SEED, START = 11, 3000


def main() -> None:
    """Write as told."""
    collections = {one.name: one for one in open_palace(sys.argv[1]).list_collections()}
    operations = writing(SEED, START)
    for line in sys.stdin:
        if line == "fresh\n":
            collections = {one.name: one for one in open_palace(sys.argv[1]).list_collections()}
        operation = next(operations)
        perform(collections[operation.collection], operation, 384)
        print("done", flush=True)


if __name__ == "__main__":
    main()
