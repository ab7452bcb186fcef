"""Numbers of things in words: `1 session`, `2,400 sessions`."""

from __future__ import annotations


def count_of(count: int, thing: str) -> str:
    """The number and its noun, in the plural where it is not one."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
