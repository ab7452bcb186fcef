"""Builds palaces with chromadb, whatever version of it is there, as MemPalace does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings

from tests.palaces.making import SHAPES, Operation, Shape, embed, operations


def open_palace(folder: str | Path) -> Any:
    """A client as MemPalace makes it."""
    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


def collection_metadata(shape: Shape) -> dict[str, Any]:
    """The settings with which MemPalace 3.11 creates a collection."""
    return {
        "hnsw:space": shape.space,
        "hnsw:num_threads": 1,
        "hnsw:batch_size": min(100, shape.threshold),
        "hnsw:sync_threshold": shape.threshold,
    }


def build(palace: str | Path, shape_name: str) -> int:
    """Build the palace of a named shape; the number of operations."""
    shape = SHAPES[shape_name]
    client = open_palace(palace)
    made = {
        name: client.create_collection(name, metadata=collection_metadata(shape))
        for name in shape.sizes
    }
    done = 0
    for operation in operations(shape):
        perform(made[operation.collection], operation, shape.dimension)
        done += 1
    return done


def perform(collection: Any, operation: Operation, dimension: int) -> None:
    """Do one operation through the client, vectors passed in."""
    ids = [one.id for one in operation.drawers]
    if operation.call == "delete":
        collection.delete(ids=ids)
        return
    metadatas = [dict(one.metadata) for one in operation.drawers]
    if operation.call == "describe":
        collection.update(ids=ids, metadatas=metadatas)
        return
    texts = [one.text for one in operation.drawers]
    collection.upsert(
        ids=ids, documents=texts, metadatas=metadatas, embeddings=embed(texts, dimension)
    )
