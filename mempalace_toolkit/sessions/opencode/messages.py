"""The values that stored messages are read into, and what can be wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mempalace_toolkit.sessions.model import Role, StoreFinding
from mempalace_toolkit.sessions.opencode.ids import order_from

Problems = Counter[str]

_EXPLAINED = {
    "malformed_message": "messages are not readable JSON and were left out",
    "malformed_part": "parts are not readable JSON and were left out",
    "malformed_revert": "the mark of an undone prompt is not readable; nothing was hidden",
    "orphan_part": "parts belong to no message and were left out",
    "repaired_text": "texts held bytes that are no characters; U+FFFD stands for them",
    "revert_target_gone": "the mark of an undone prompt names a message that is not there; "
    "nothing was hidden",
}


class Answer(NamedTuple):
    """What the user answered to the question tool, by the id of the tool's part."""

    part: str
    time: int
    text: str


class StoredMessage(NamedTuple):
    """A message with the texts of its visible parts, by part id. `order` is its row's time.

    `overflow` marks the request for a compaction that a refused prompt led to. A tuple,
    because a store has hundreds of thousands of them.
    """

    id: str
    role: Role | None
    time: int
    order: int
    texts: Sequence[tuple[str, str]]
    answers: Sequence[Answer] = ()
    overflow: bool = False


def in_order_of_parts(texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Parts of one message in the order they were made in."""
    found = list(texts)
    if len(found) > 1:
        key = order_from(found[0][0])
        found.sort(key=lambda item: key(item[0]))
    return found


def findings_of(problems: Problems, path: str, session: str) -> tuple[StoreFinding, ...]:
    """One finding for each kind of problem met in a session."""
    return tuple(
        StoreFinding(kind, f"{count}: {_EXPLAINED[kind]}", path, session)
        for kind, count in sorted(problems.items())
    )
