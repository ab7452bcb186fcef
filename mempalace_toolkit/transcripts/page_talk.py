"""Reading a page back: the turns that were written on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from mempalace_toolkit.sessions.model import Turn

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def read_turns(content: bytes) -> tuple[Turn, ...] | None:
    """The turns of a page, their times as `bounded_time` gives them; None where it is no page.

    The caller compares their digest with the page's: a page may have been edited.
    """
    try:
        return tuple(
            _turn(value)
            for line in content.split(b"\n")
            if line and (value := orjson.loads(line))["type"] == "message"
        )
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return None


def _turn(value: dict[str, object]) -> Turn:
    message = value["message"]
    moment = datetime.fromisoformat(str(value["timestamp"]))
    assert isinstance(message, dict)
    role = message["role"]
    if role not in ("user", "assistant"):
        raise ValueError(role)
    text = message["content"][0]["text"]
    return Turn(role, str(text), (moment - _EPOCH) // _MILLISECOND, "")
