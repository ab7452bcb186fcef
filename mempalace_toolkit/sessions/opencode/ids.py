"""The clock in opencode's ids: 48 bits that wrap every 795 days, so never an order of time.

An id is `msg_` and twelve hexadecimal digits, milliseconds times 4096 plus a counter, cut to
48 bits (the last wrap was on 14 August 2026, 11:19:55 UTC), then random letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_CLOCK = re.compile(r"[a-z]+_([0-9a-f]{12})")
_BITS = 48
_TICKS = 12  # bits of the counter below the milliseconds
_PERIOD = 1 << (_BITS - _TICKS)  # milliseconds between two wraps


def clock_of(identifier: str) -> int | None:
    """The 48-bit clock of an id; None where it is not of opencode's form."""
    match = _CLOCK.match(identifier)
    return int(match[1], 16) if match else None


def time_near(identifier: str, reference: int) -> int | None:
    """When an id was made, in ms: of all times that it can stand for, the nearest."""
    clock = clock_of(identifier)
    if clock is None:
        return None
    half = _PERIOD // 2
    return reference + ((clock >> _TICKS) - reference + half) % _PERIOD - half


def order_from(reference: str) -> Callable[[str], tuple[int, str]]:
    """A sorting key for ids made within a year of `reference`, across a wrap as well."""
    start = clock_of(reference)

    def key(identifier: str) -> tuple[int, str]:
        clock = clock_of(identifier)
        if start is None or clock is None:
            return 0, identifier
        return (clock - start + (1 << (_BITS - 1))) % (1 << _BITS), identifier

    return key
