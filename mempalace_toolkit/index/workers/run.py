"""Starts the children that open chromadb, so that a crash of theirs is a result, not an end."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from mempalace_toolkit.children import CHILD_FOLDER, own_command, settled
from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.index.workers.prefork import ForkedChild, fork_child, held_locks

_LAST_LINES = 4000


@dataclass(frozen=True, slots=True)
class ChildTask:
    """What to run: a module of this package, its task as JSON, and what it may use.

    `largest_file` in bytes ends a child that writes beyond it, as a damaged index made
    chromadb do (138 GB).
    """

    module: str
    task: Mapping[str, object]
    environment: Mapping[str, str]
    seconds: float
    largest_file: int


def run_child(what: ChildTask, stream: Iterable[bytes] = ()) -> dict[str, object]:
    """Run it to its end: the JSON object it printed last.

    The task is the first line on its stdin, `stream` what follows. Raises MempalaceError where
    it failed, was ended by a signal, or took longer than `seconds`.
    """
    task = {**what.task, "largest_file": what.largest_file}
    child = fork_child(what.module) or start_child(what.module, what.environment, keep=held_locks())
    timer = threading.Timer(what.seconds, child.kill)
    timer.start()
    try:
        errors = Collected(child.stderr)
        _feed(child, json.dumps(task).encode() + b"\n", stream)
        assert child.stdout is not None
        said = child.stdout.read()
        code = child.wait()
        told = errors.text()
    finally:
        expired = not timer.is_alive()
        timer.cancel()
        child.kill()
        child.wait()
    return _answer(what.module, code, said, "took too long" if expired and code else told)


def start_child(
    module: str, environment: Mapping[str, str], *arguments: str, keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """A module of this package as a process of its own, with a pipe to each of its streams.

    It inherits the descriptors to `keep`.
    """
    return subprocess.Popen(
        own_command(f"index.workers.{module}", *arguments),
        cwd=CHILD_FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=settled(environment),
        pass_fds=keep,
        start_new_session=True,
    )


class Collected:
    """The end of a pipe's content, read by a thread so that its writer never waits."""

    def __init__(self, pipe: object) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := self._pipe.read1(65536):  # type: ignore[attr-defined]
            self._kept = (self._kept + chunk)[-_LAST_LINES:]

    def text(self) -> str:
        """What was kept, once the pipe has ended."""
        self._thread.join(timeout=5)
        return self._kept.decode("utf-8", "replace").strip()


def _feed(
    child: subprocess.Popen[bytes] | ForkedChild, task: bytes, stream: Iterable[bytes]
) -> None:
    """Write all; a child that has died is found by its status."""
    pipe = child.stdin
    assert pipe is not None
    with suppress(BrokenPipeError):
        try:
            pipe.write(task)
            for piece in stream:
                pipe.write(piece)
            pipe.flush()
        finally:
            with suppress(BrokenPipeError):
                pipe.close()


def _answer(module: str, code: int, said: bytes, told: str) -> dict[str, object]:
    last = said.strip().splitlines()[-1:]
    if code == 0 and last:
        with suppress(ValueError):
            answer = json.loads(last[0])
            if isinstance(answer, dict):
                return answer
    raise child_error(module, code, told)


def child_error(module: str, code: int, told: str) -> MempalaceError:
    """How a child ended that should not have; `told` is what it said on stderr."""
    name = module.removeprefix("child_")
    ended = (
        f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with status {code}"
    )
    line = told.splitlines()[-1] if told else "no message"
    return MempalaceError(
        f"the child process for {name} {ended}: {line[:300]}",
        "run again; if it stays, report it with the output of `mempalace-toolkit check --json`",
    )
