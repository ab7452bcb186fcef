"""Embeds texts in a child process, with the model that the palace was filled with."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.index.workers.run import Collected, child_error, start_child
from mempalace_toolkit.palace.location import MODEL_VARIABLE, PalaceLocation, known_model

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Vectors of texts, a row each."""

_IDLE_SECONDS = 5.0
_START_SECONDS = 120.0
_TEXT_SECONDS = 2.0


def palace_embedder(palace: PalaceLocation, environment: Mapping[str, str]) -> Embed:
    """How the palace's texts are embedded: by an encoder of ours, or as MemPalace does it."""
    model = known_model(palace.embedding_model)
    if model == "minilm":
        return Embedder(environment)
    return Embedder({**environment, MODEL_VARIABLE: model}, "mempalace")


class Embedder:
    """An embedding model in a child that stays for the next texts, but not for long.

    `encoder` is "minilm", or "mempalace" for what its configuration says.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        encoder: str = "minilm",
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._environment = environment
        self._encoder = encoder
        self._idle_seconds = idle_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: Collected | None = None
        self._one_at_a_time = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the texts, a row each. Raises ModelError where the model fails."""
        question = json.dumps(list(texts)).encode() + b"\n"
        with self._one_at_a_time:
            there = self._child is not None and self._child.poll() is None
            rows = self._ask(question, len(texts)) if there else None
            if rows is None:  # it has left, or there was none
                self._start()
                rows = self._ask(question, len(texts))
        if rows is None:
            raise self._failure("it gave no answer", 0)
        return rows

    def close(self) -> None:
        """Let the child end."""
        if self._child is not None:
            self._child.kill()
            for pipe in (self._child.stdin, self._child.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._child.wait()
            self._child = None

    def __del__(self) -> None:
        self.close()

    def _start(self) -> None:
        self.close()
        self._child = start_child(
            "child_embed", self._environment, self._encoder, str(self._idle_seconds)
        )
        self._errors = Collected(self._child.stderr)

    def _ask(self, question: bytes, count: int) -> NDArray[np.float32] | None:
        """The child's answer; None where it ended because nobody had asked."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        timer = threading.Timer(_START_SECONDS + _TEXT_SECONDS * count, child.kill)
        timer.start()
        try:
            with suppress(BrokenPipeError):
                child.stdin.write(question)
                child.stdin.flush()
            head = child.stdout.readline()
            width = int(json.loads(head)[1]) if head else 0
            body = child.stdout.read(4 * width * count) if head else b""
        finally:
            expired = not timer.is_alive()
            timer.cancel()
        if head and len(body) == 4 * width * count:
            rows = np.frombuffer(body, "<f4") if body else np.zeros(0, np.float32)
            return rows.reshape(count, width)
        code = child.wait()
        if code == 0 and not head:
            return None
        told = self._errors.text() if self._errors else ""
        self.close()
        raise self._failure("took too long" if expired else told, code)

    def _failure(self, told: str, code: int) -> ModelError:
        message = child_error("child_embed", code, told).message
        if self._encoder == "minilm":
            return ModelError(message, "run `mempalace-toolkit model ensure`")
        return ModelError(message, "correct the embedding settings of MemPalace, then run again")
