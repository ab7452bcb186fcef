"""What ends a command from outside, SIGTERM and the time limit, as exceptions that clean up.

Both are KeyboardInterrupts, so that they end children, locks and writes as Ctrl-C does.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mempalace_toolkit.errors import TimeLimitError

ASK_AGAIN_SECONDS = 60
"""An exception can be lost, in a callback of C code say; then the limit strikes once more."""

_SAME_REQUEST_SECONDS = 5.0


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


class _LimitReached(KeyboardInterrupt):
    """The time limit came."""


def notes_of(interruption: BaseException) -> list[str]:
    """What the work noted of how far it had come."""
    return list(getattr(interruption, "__notes__", ()))


def obey_sigterm() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does.

    `timeout` sends it twice, to the process and to its group: what follows within seconds is
    the same request, and leaves the clean-up alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    earlier = [float("-inf")]

    def end(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - earlier[0] > _SAME_REQUEST_SECONDS:
            earlier[0] = now
            raise Terminated

    signal.signal(signal.SIGTERM, end)


@contextmanager
def limited_to(seconds: int) -> Iterator[None]:
    """Let the block run this long, 0 for ever. Raises TimeLimitError. Sleep does not count."""
    if not seconds:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _LimitReached

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, ASK_AGAIN_SECONDS)
    try:
        yield
    except _LimitReached as reached:
        raise TimeLimitError(
            "; ".join([f"the time limit of {seconds} s was reached", *notes_of(reached)]),
            "what was begun is made up for by the next run; --time-limit SECONDS gives it longer",
        ) from reached
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
