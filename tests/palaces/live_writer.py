"""Run as a child: a chromadb client that writes to a palace until it is told to stop. PALACE.

It upserts, deletes and persists as a mine does, says `writing` when it has begun, and ends
when stdin does.
"""

from __future__ import annotations

import select
import sys

from tests.palaces.building import open_palace, perform
from tests.palaces.making import DRAWERS, writing


def main() -> None:
    """Write."""
    client = open_palace(sys.argv[1])
    collections = {one.name: one for one in client.list_collections()}
    for number, operation in enumerate(writing(7, 5000)):
        if operation.collection == DRAWERS or number % 5 == 0:
            perform(collections[operation.collection], operation, 384)
        if number == 3:
            print("writing", flush=True)
        if select.select([sys.stdin], [], [], 0)[0]:
            return


if __name__ == "__main__":
    main()
