"""What a command has learned so far: its answer says it even where the command fails."""

from __future__ import annotations

_known: dict[str, str] = {}


def remember(**learned: str) -> None:
    """Keep `palace` or `log` for the answer of this process."""
    _known.update(learned)


def known(name: str) -> str | None:
    """What was learned, None where it was not."""
    return _known.get(name)
