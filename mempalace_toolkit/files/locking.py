"""Locks on files (flock): the kernel releases them however their holder ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable

_POLL_SECONDS = 0.1


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock the open file now; False where another process holds it. Raises OSError."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_while_blocked(
    deadline: float,
    blocked: Callable[[], str | None],
    waiting: Callable[[], None] = lambda: None,
) -> str | None:
    """Ask what stands in the way, until nothing does or the deadline (monotonic seconds) is over.

    The answer is what still stands in the way then, or None. `waiting` is called once, before
    the first wait.
    """
    reason = blocked()
    if reason is not None and time.monotonic() < deadline:
        waiting()
    while reason is not None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        reason = blocked()
    return reason
