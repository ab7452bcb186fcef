"""Run as a child: opens palaces with chromadb, each in a fork of its own that may die.

Reads a JSON request a line from stdin, `{"do": …, "palace": …, …}`, and answers with a JSON
line: `answer`, or `signal` of the fork's death, or `error`. chromadb is imported once, and no
fork can write a file larger than `LARGEST_FILE`, whatever a damaged index makes of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.palaces.building import build, open_palace, perform
from tests.palaces.making import Operation, drawer, embed, writing

LARGEST_FILE = 200_000_000
Request = dict[str, Any]


def make(request: Request) -> int:
    """Build the palace of a named shape; the number of operations."""
    return build(request["palace"], request["shape"])


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
    """Write drawers of the given numbers, or do `call` to them; their ids."""
    collection = open_palace(request["palace"]).get_collection(request["collection"])
    drawers = [drawer(collection.name, n, request["version"]) for n in request["numbers"]]
    call = request.get("call", "upsert")
    for start in range(0, len(drawers), 20):
        operation = Operation(collection.name, call, tuple(drawers[start : start + 20]))
        perform(collection, operation, request["dimension"])
    return [one.id for one in drawers]


def find(request: Request) -> list[str]:
    """For each drawer the id of what lies nearest to its text; its own where all is well."""
    collection = open_palace(request["palace"]).get_collection(request["collection"])
    texts = [drawer(collection.name, n, request["version"]).text for n in request["numbers"]]
    found = _nearest(collection, embed(texts, request["dimension"]), 1)
    return [ids[0] if ids else "" for ids in found]


def repair_status(request: Request) -> dict[str, Any]:
    """What `mempalace repair-status` says of both collections, without what it prints."""
    from mempalace.repair import status  # it takes the checkout off the module path

    with contextlib.redirect_stdout(io.StringIO()):
        return dict(status(request["palace"]))


def select(request: Request) -> list[list[str]]:
    """For each where clause the ids of the drawers that it means, as `get` gives them."""
    collection = open_palace(request["palace"]).get_collection(request["collection"])
    return [list(collection.get(where=one, include=[])["ids"]) for one in request["clauses"]]


def nearest(request: Request) -> list[str]:
    """For each text the id of what lies nearest to it in the collection."""
    collection = open_palace(request["palace"]).get_collection(request["collection"])
    found = _nearest(collection, embed(request["texts"], request["dimension"]), 1)
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


REQUESTS: dict[str, Callable[[Request], Any]] = {
    "make": make,
    "ask": ask,
    "upsert": upsert,
    "find": find,
    "nearest": nearest,
    "select": select,
    "repair_status": repair_status,
    "write_until_killed": write_until_killed,
}


def serve() -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(run_in_fork(request)), flush=True)


def run_in_fork(request: Request) -> dict[str, Any]:
    """The request's answer, or how the fork died. `kill` is when to kill it: see `_wait`."""
    reading, writing_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(request, writing_end)
    os.close(writing_end)
    content = _listen(reading, child, request)
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


def _listen(reading: int, child: int, request: Request) -> bytes:
    """Read to the end; kill the child at the moment that `kill` describes."""
    content, kill = b"", request.get("kill")
    while piece := os.read(reading, 1 << 16):
        content += piece
        if kill and f"begun {kill['step']}\n".encode() in content:
            _wait(Path(request["palace"]), kill)
            os.kill(child, signal.SIGKILL)
            kill = None
    os.close(reading)
    return content


def _wait(palace: Path, kill: dict[str, Any]) -> None:
    """Until `file` changes in any index folder, at most half a second; then `seconds` more."""
    watched = [folder / kill["file"] for folder in palace.iterdir() if folder.is_dir()]
    before, deadline = _mtimes(watched), time.monotonic() + 0.5
    while kill["file"] and _mtimes(watched) == before and time.monotonic() < deadline:
        pass
    time.sleep(kill["seconds"])


def _mtimes(files: list[Path]) -> list[int]:
    return [file.stat().st_mtime_ns for file in files if file.exists()]


if __name__ == "__main__":
    serve()
