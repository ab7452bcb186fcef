"""Many callers, one commit: what comes while one is written to the disk shares the next."""

from __future__ import annotations

import copy
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from mempalace_toolkit.errors import ToolkitError
from mempalace_toolkit.gateway.journal.rows import Rows

T = TypeVar("T")
_AT_MOST = 256
"""Steps in one commit: it stays short, and what waits behind it, too."""

_Step = tuple[Callable[[Rows], Any], "Future[Any]"]


class GroupCommit:
    """The one thread that uses the journal's rows; a context manager.

    A step's answer is given when the disk has what it did, and the step is undone where it
    raises. At the end what is under way is finished.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._steps: queue.SimpleQueue[_Step | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="journal")
        self._thread.start()

    def submit(self, step: Callable[[Rows], T]) -> Future[T]:
        """Have a step done; the future has its answer, or what it raised."""
        future: Future[T] = Future()
        with self._lock:
            if not self._open:
                raise RuntimeError("the journal is closed")
            self._steps.put((step, future))
        return future

    def do(self, step: Callable[[Rows], T]) -> T:
        """Have a step done, and wait for it."""
        return self.submit(step).result()

    def close(self) -> None:
        """Finish what was submitted, and take no more."""
        with self._lock:
            if self._open:
                self._open = False
                self._steps.put(None)
        self._thread.join()

    def __enter__(self) -> GroupCommit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while (first := self._steps.get()) is not None:
            batch = [first]
            ended = False
            while len(batch) < _AT_MOST and not ended and not self._steps.empty():
                following = self._steps.get()
                if following is None:
                    ended = True
                else:
                    batch.append(following)
            self._commit(batch)
            if ended:
                return

    def _commit(self, batch: list[_Step]) -> None:
        wanted = [step for step in batch if step[1].set_running_or_notify_cancel()]
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._rows.writing():
                answers.extend(self._answer(step, future) for step, future in wanted)
        except BaseException as error:
            for _, future in wanted:
                future.set_exception(_of_its_own(error))
            return
        for future, result, refusal in answers:
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)

    def _answer(
        self, step: Callable[[Rows], Any], future: Future[Any]
    ) -> tuple[Future[Any], Any, BaseException | None]:
        try:
            return future, self._rows.one_of_many(step), None
        except sqlite3.Error:
            raise
        except Exception as error:
            return future, None, error


def _of_its_own(error: BaseException) -> BaseException:
    """The error once more, for one caller alone: raising one object in many threads mixes
    their tracebacks."""
    if isinstance(error, ToolkitError):
        return copy.copy(error)
    return error
