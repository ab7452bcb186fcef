"""The tests' only way to open a palace with chromadb: a server whose forks may die."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.palaces import script, script_environment

SERVER = script("chroma_server.py")


class ChromaDiedError(Exception):
    """chromadb ended by a signal, or raised; the message says which."""


@dataclass(frozen=True)
class Seen:
    """What a client sees of one collection."""

    count: int
    reached: frozenset[str]
    nearest: tuple[frozenset[str], ...]
    texts: Mapping[str, str]
    metadatas: Mapping[str, Mapping[str, Any]]
    vectors: Mapping[str, NDArray[np.float32]]


class Chroma:
    """A running server; one request at a time."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._server = subprocess.Popen(
            [sys.executable, SERVER],
            env=script_environment(scratch),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait(timeout=30)
        self._server.stdout.close()

    def request(self, do: str, palace: Path, **more: Any) -> dict[str, Any]:
        """The server's line: `answer`, `error`, or `signal` and `lines`."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps({"do": do, "palace": str(palace), **more}) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def answer(self, do: str, palace: Path, **more: Any) -> Any:
        """The answer; raises ChromaDiedError where there is none."""
        got = self.request(do, palace, **more)
        if "answer" not in got:
            raise ChromaDiedError(got.get("error") or f"signal {got['signal']}")
        return got["answer"]

    def ask(self, palace: Path) -> dict[str, Seen]:
        """Everything a client sees, by collection."""
        for old in self._scratch.glob("*.npy"):
            old.unlink()
        answer = self.answer("ask", palace, out=str(self._scratch))
        return {name: self._seen(name, said) for name, said in answer.items()}

    def _seen(self, name: str, said: dict[str, Any]) -> Seen:
        ids = said["ids"]
        rows = np.load(self._scratch / f"{name}.npy") if ids else ()
        return Seen(
            count=said["count"],
            reached=frozenset(said["reached"]),
            nearest=tuple(frozenset(ids) for ids in said["nearest"]),
            texts=dict(zip(ids, said["documents"], strict=True)),
            metadatas=dict(zip(ids, said["metadatas"], strict=True)),
            vectors=dict(zip(ids, rows, strict=True)),
        )


def recall(before: Seen, after: Seen) -> float:
    """The share of the nearest ten of each question that is found again."""
    pairs = list(zip(before.nearest, after.nearest, strict=True))
    asked = sum(len(first) for first, _ in pairs)
    return sum(len(first & second) for first, second in pairs) / asked if asked else 1.0
