"""What becomes of the rows of drawers in a mended database, and of their metadata."""

from __future__ import annotations

from dataclasses import dataclass, field

Value = str | int | float | bool


@dataclass(slots=True)
class Drawers:
    """`segments` gives each old segment's new name. `dropped` rows are not taken over; `ids` and
    `sequences` replace unreadable ones; `copied` take their text from the full-text index, and
    `given` get metadata, text among them, that they lack; `given_rows` are drawers whose own rows
    are gone: segment, id, number of an operation. Rows are known by their number."""

    segments: dict[object, str] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    ids: dict[int, str] = field(default_factory=dict)
    sequences: dict[int, int] = field(default_factory=dict)
    copied: set[int] = field(default_factory=set)
    given: dict[int, dict[str, Value]] = field(default_factory=dict)
    given_rows: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    kept: int = 0
    lost: int = 0
    partial: int = 0
    losses: list[str] = field(default_factory=list)
