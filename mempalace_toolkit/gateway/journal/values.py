"""What the journal takes and gives: an asked write, its row, its state, and the limits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mempalace_toolkit.errors import UsageError


class State(StrEnum):
    """How far a write is. Only a queued one is still to be done."""

    QUEUED = "queued"
    DONE = "done"
    FAILED = "failed"  # MemPalace refused it; its answer is the result
    SET_ASIDE = "set_aside"  # it cannot be done; the result says why


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait: a write beyond that is refused. Finished rows do not count."""

    rows: int = 100_000
    bytes: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AskedWrite:
    """A tool's call, as a client asks for it. With a key it is done once, however often asked."""

    tool: str
    arguments: dict[str, Any]
    key: str | None = None

    def __post_init__(self) -> None:
        try:
            for text in (self.tool, self.key or ""):
                str.encode(text)
        except (TypeError, UnicodeEncodeError) as error:
            raise UsageError("the key of a write is no text", "use another key") from error


@dataclass(frozen=True, slots=True)
class Row:
    """An acknowledged write. `clock` is the time under which it is done: local, without a zone,
    and no other row has it. A row that is done has no arguments any more. `result` is JSON's value.
    """

    sequence: int
    key: str | None
    tool: str
    arguments: dict[str, Any] | None
    clock: datetime
    state: State
    attempts: int
    result: Any


@dataclass(frozen=True, slots=True)
class Receipt:
    """The row of a write, and whether it was there already, by its key."""

    row: Row
    repeated: bool


def canonical(value: object) -> str:
    """The one JSON text of a value. Raises UsageError where it is none of JSON's values."""
    try:
        text = json.dumps(
            value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")
        )
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can write it, UTF-8 cannot
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the arguments of a write are no JSON: {error}", "nothing was written; correct them"
        ) from error
    return text


def digest_of(key: str | None, tool: str, clock: str, arguments: str) -> bytes:
    """What proves that a row is whole, and that a write with the same key is the same write."""
    parts = canonical([key, tool, clock, arguments])
    return hashlib.sha256(parts.encode("utf-8")).digest()
