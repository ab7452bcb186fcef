"""The operations in chromadb's queue, by their numbers there."""

from __future__ import annotations

from enum import IntEnum


class Operation(IntEnum):
    """What `embeddings_queue.operation` says; an add and an upsert bring a vector."""

    ADD = 0
    UPDATE = 1
    UPSERT = 2
    DELETE = 3


WITH_VECTOR = (Operation.ADD, Operation.UPSERT)
