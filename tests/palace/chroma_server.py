"""Run as a child: opens palaces with chromadb, each in a fork of its own that may die.

Reads a JSON request a line from stdin, `{"do": …, "palace": …, …}`, and answers with a JSON
line: `answer`, or `signal` of the fork's death, or `error`. chromadb is imported once, and no
fork can write a file larger than `LARGEST_FILE`, whatever a damaged index makes of it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings
from making import SHAPES, Drawer, Operation, Shape, drawer, embed, operations

LARGEST_FILE = 200_000_000
Request = dict[str, Any]


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


def make(request: Request) -> int:
    """Build the palace of a named shape; the number of operations."""
    shape = SHAPES[request["shape"]]
    client = open_palace(request["palace"])
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


def ask(request: Request) -> dict[str, Any]:
    """Everything a client can see of each collection.

    `reached` are the ids of a query for as many results as there are drawers; `nearest` the
    first ten of each question; the vectors go into an .npy file a collection below `out`.
    """
    client, answer = open_palace(request["palace"]), {}
    for collection in client.list_collections():
        held = collection.get(include=["documents", "metadatas", "embeddings"])
        count = collection.count()
        seen: dict[str, Any] = {"count": count, "reached": [], "nearest": []}
        if count:
            vectors = np.asarray(held["embeddings"], np.float32)
            np.save(Path(request["out"], f"{collection.name}.npy"), vectors)
            questions = embed([f"question {n}" for n in range(100)], vectors.shape[1])
            seen["reached"] = _nearest(collection, questions[:1], count)[0]
            seen["nearest"] = _nearest(collection, questions, min(10, count))
        held_ids = held["ids"]
        seen["ids"] = held_ids
        seen["documents"] = held["documents"]
        seen["metadatas"] = held["metadatas"]
        answer[collection.name] = seen
    return answer


def _nearest(collection: Any, questions: Any, results: int) -> list[list[str]]:
    found = collection.query(query_embeddings=questions, n_results=results, include=[])
    return list(found["ids"])


def upsert(request: Request) -> list[str]:
    """Write drawers of the given numbers; their ids."""
    collection = open_palace(request["palace"]).get_collection(request["collection"])
    drawers = [drawer(collection.name, n, request["version"]) for n in request["numbers"]]
    for start in range(0, len(drawers), 20):
        operation = Operation(collection.name, "upsert", tuple(drawers[start : start + 20]))
        perform(collection, operation, request["dimension"])
    return [one.id for one in drawers]


def find(request: Request) -> list[str]:
    """For each drawer the id of what lies nearest to its text; its own where all is well."""
    collection = open_palace(request["palace"]).get_collection(request["collection"])
    texts = [drawer(collection.name, n, request["version"]).text for n in request["numbers"]]
    found = _nearest(collection, embed(texts, request["dimension"]), 1)
    return [ids[0] if ids else "" for ids in found]


def write_until_killed(request: Request) -> None:
    """Write as a mine does until the server kills this process; a line for each step.

    `begun N` goes out before the client is called and `done N` after it returned, so that the
    reader knows which operation was under way.
    """
    client = open_palace(request["palace"])
    collections = {one.name: one for one in client.list_collections()}
    for number, operation in enumerate(writing(request["seed"], request["start"])):
        request["say"](f"begun {number}")
        perform(collections[operation.collection], operation, request["dimension"])
        request["say"](f"done {number}")


def writing(seed: int, start: int) -> Iterator[Operation]:
    """An endless, seeded run of upserts, replacements, re-adds and deletes."""
    random = np.random.default_rng(seed)
    number = start
    while True:
        name = ("mempalace_drawers", "mempalace_closets")[int(random.random() < 0.3)]
        new = range(number, number + int(random.integers(1, 12)))
        number = new.stop
        yield Operation(name, "upsert", _drawers(name, new, 0))
        old = sorted(set(random.integers(0, number, 6).tolist()))
        call = "delete" if random.random() < 0.4 else "upsert"
        yield Operation(name, call, _drawers(name, old, int(random.integers(1, 50))))


def _drawers(name: str, numbers: Any, version: int) -> tuple[Drawer, ...]:
    return tuple(drawer(name, int(n), version) for n in numbers)


REQUESTS: dict[str, Callable[[Request], Any]] = {
    "make": make,
    "ask": ask,
    "upsert": upsert,
    "find": find,
    "write_until_killed": write_until_killed,
}


def serve() -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(run_in_fork(request)), flush=True)


def run_in_fork(request: Request) -> dict[str, Any]:
    """The request's answer, or how the fork died. `kill_after` is [step, seconds]."""
    reading, writing_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(request, writing_end)
    os.close(writing_end)
    content = _listen(reading, child, request.get("kill_after"))
    status = os.waitpid(child, 0)[1]
    lines = content.decode().splitlines()
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status), "lines": lines}
    return dict(json.loads(lines[-1]))


def _be_child(request: Request, writing_end: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request["say"] = lambda text: os.write(writing_end, f"{text}\n".encode())
    try:
        answer = {"answer": REQUESTS[request["do"]](request)}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    with os.fdopen(writing_end, "wb") as pipe:
        pipe.write(json.dumps(answer).encode() + b"\n")
    os._exit(0)


def _listen(reading: int, child: int, kill_after: list[float] | None) -> bytes:
    """Read to the end; kill the child the given seconds after it said `begun STEP`."""
    content, killed = b"", kill_after is None
    while piece := os.read(reading, 1 << 16):
        content += piece
        if not killed and kill_after and f"begun {int(kill_after[0])}\n".encode() in content:
            time.sleep(kill_after[1])
            os.kill(child, signal.SIGKILL)
            killed = True
    os.close(reading)
    return content


if __name__ == "__main__":
    serve()
