"""What an undo hides: everything from a position in (time, id) on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mempalace_toolkit.sessions.opencode.decoding import MalformedError, parse_object, text_of
from mempalace_toolkit.sessions.opencode.ids import time_near
from mempalace_toolkit.sessions.opencode.messages import Problems, StoredMessage

UNDONE = "undone by a revert"
NO_REVERT = (None, b"", b"null")
"""What a session without an undo has in its column."""
_CLOSE = 60_000  # ms between an id's clock and its message's time, where the clocks can be used


@dataclass(frozen=True, slots=True)
class Revert:
    """An undo as stored: a message and all after it, or only a message's later parts."""

    message: str
    part: str | None


@dataclass(frozen=True, slots=True)
class Cut:
    """Where an undo begins. `order` is the row's time of the message it names."""

    order: int
    message: str
    part: str | None = None

    def hides(self, order: int, message: str) -> bool:
        """Whether a message is undone, wholly or from a part of it on."""
        return (order, message) >= (self.order, self.message)


def parse_revert(data: object, problems: Problems) -> Revert | None:
    """The session's revert mark; `data` is the column's bytes or the session file's value."""
    if data in NO_REVERT:
        return None
    try:
        value = data if isinstance(data, dict) else parse_object(data)[0]
    except MalformedError:
        value = {}
    message = text_of(value.get("messageID"))
    if not message:
        problems["malformed_revert"] += 1
        return None
    return Revert(message, text_of(value.get("partID")))


def cut_where_gone(
    revert: Revert, present: Iterable[tuple[str, int]], problems: Problems
) -> Cut | None:
    """The cut of an undo whose message is not in the store any more.

    Its place is taken from the clock in its id, if the ids of the messages that are there
    (id and time) go by that clock; else nothing is hidden.
    """
    last = None
    for message, order in present:
        made = time_near(message, order)
        if made is None or abs(made - order) > _CLOSE:
            break
        last = order
    else:
        made = None if last is None else time_near(revert.message, last)
        if made is not None:
            return Cut(made, revert.message)
    problems["revert_target_gone"] += 1
    return None


def cut_of(
    revert: Revert | None, messages: Sequence[StoredMessage], problems: Problems
) -> Cut | None:
    """The cut of an undo in a session whose messages are all given."""
    if revert is None:
        return None
    for message in messages:
        if message.id == revert.message:
            return Cut(message.order, message.id, revert.part)
    return cut_where_gone(revert, [(message.id, message.order) for message in messages], problems)
