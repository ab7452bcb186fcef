"""Which stored messages are talk: the rules for visible text, compactions and reverts.

Shared by the JSON store and the `message`/`part` tables, which hold the same objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mempalace_toolkit.sessions.model import Role, StoreFinding, Turn
from mempalace_toolkit.sessions.opencode.decoding import MalformedError, parse_object, text_of

Problems = Counter[str]

_EXPLAINED = {
    "malformed_message": "messages are not readable JSON and were left out",
    "malformed_part": "parts are not readable JSON and were left out",
    "malformed_revert": "the mark of an undone prompt is not readable; nothing was hidden",
    "orphan_part": "parts belong to no message and were left out",
    "repaired_text": "texts held bytes that are no characters; U+FFFD stands for them",
}


class StoredMessage(NamedTuple):
    """A message with the texts of its visible parts, by part id. `order` is its row's time.

    A tuple, because a store has hundreds of thousands of them.
    """

    id: str
    role: Role | None
    time: int
    order: int
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Revert:
    """What an undo hides: a message and all after it, or only a message's later parts."""

    message: str
    part: str | None


def parse_revert(data: object, problems: Problems) -> Revert | None:
    """The session's revert mark; `data` is the column's bytes or the session file's value."""
    if data is None or data in (b"", b"null"):
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


def role_of(data: dict[str, Any]) -> Role | None:
    """Who speaks; None for a compaction's summary, which repeats the talk, and for strangers.

    `summary` is `true` on a compaction, and an object on every user message.
    """
    role = data.get("role")
    if role == "user":
        return "user"
    if role == "assistant" and data.get("summary") is not True:
        return None if data.get("mode") == "compaction" else "assistant"
    return None


def visible_text(part: dict[str, Any]) -> str | None:
    """A part's text, if a person saw it being said."""
    if part.get("type") != "text" or part.get("synthetic") or part.get("ignored"):
        return None
    text = part.get("text")
    return text if isinstance(text, str) and text.strip() else None


def visible_turns(messages: Iterable[StoredMessage], revert: Revert | None) -> list[Turn]:
    """The turns of messages given in order, less what the revert hides."""
    turns = []
    for message in messages:
        texts = [text for _, text in message.texts]
        if revert is not None and message.id >= revert.message:
            if revert.part is None or message.id != revert.message:
                continue
            texts = [text for part, text in message.texts if part < revert.part]
        if texts and message.role is not None:
            turns.append(make_turn(message.role, "\n".join(texts), message.time))
    return turns


def make_turn(role: Role, text: str, time: int) -> Turn:
    """A turn whose key is the same in every fork that copied it: new ids, old times."""
    return Turn(role, text, time, f"{role}|{time}|{hash(text)}")


def findings_of(problems: Problems, path: str, session: str) -> tuple[StoreFinding, ...]:
    """One finding for each kind of problem met in a session."""
    return tuple(
        StoreFinding(kind, f"{count}: {_EXPLAINED[kind]}", path, session)
        for kind, count in sorted(problems.items())
    )
