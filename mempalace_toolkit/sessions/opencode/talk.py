"""Which stored messages are talk: the rules for visible text, compactions, undos and replays.

Shared by the JSON store and the `message`/`part` tables, which hold the same objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mempalace_toolkit.sessions.model import Mark, Role, Turn
from mempalace_toolkit.sessions.opencode.decoding import millis_of
from mempalace_toolkit.sessions.opencode.ids import order_from
from mempalace_toolkit.sessions.opencode.messages import Answer, StoredMessage
from mempalace_toolkit.sessions.opencode.questions import answered_at, question_and_answer
from mempalace_toolkit.sessions.opencode.undo import UNDONE, Cut

REPLAYED = "asked again by opencode itself after a compaction"


@dataclass(slots=True)
class Talk:
    """A session's turns, and the messages that are marked as not said, each with a reason."""

    turns: list[Turn] = field(default_factory=list)
    withdrawn: dict[Mark, str] = field(default_factory=dict)


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


def answer_of(part: dict[str, Any], identifier: str) -> Answer | None:
    """What the user answered, if the part is an answered question; time 0 if it has none."""
    if part.get("type") != "tool" or part.get("tool", part.get("name")) != "question":
        return None
    text = question_and_answer(part.get("state"))
    return Answer(identifier, millis_of(answered_at(part)), text) if text else None


def asks_after_overflow(part: dict[str, Any]) -> bool:
    """Whether the part asks for a compaction because the provider refused a prompt."""
    return part.get("type") == "compaction" and part.get("overflow") is True


def visible_talk(messages: Iterable[StoredMessage], cut: Cut | None) -> Talk:
    """The talk of messages given in order, less what an undo hides and what was replayed."""
    talk = Talk()
    for message in _without_replays(_before(messages, cut, talk), talk):
        talk.turns += turns_of_message(message)
    return talk


def turns_of_message(message: StoredMessage) -> Iterator[Turn]:
    """What was said in a message, then what the user answered to its questions."""
    if message.texts and message.role is not None:
        text = "\n".join(text for _, text in message.texts)
        yield make_turn(message.role, text, message.time)
    for answer in message.answers:
        yield make_turn("user", answer.text, answer.time or message.time)


def make_turn(role: Role, text: str, time: int) -> Turn:
    """A turn whose key is the same in every fork that copied it: new ids, old times."""
    return Turn(role, text, time, f"{role}|{time}|{hash(text)}")


def _before(
    messages: Iterable[StoredMessage], cut: Cut | None, talk: Talk
) -> Iterator[StoredMessage]:
    for message in messages:
        if cut is None or not cut.hides(message.order, message.id):
            yield message
            continue
        rest = message
        if cut.part is not None and message.id == cut.message:
            key = order_from(cut.part)
            first = key(cut.part)
            shown = message._replace(
                texts=[text for text in message.texts if key(text[0]) < first],
                answers=[answer for answer in message.answers if key(answer.part) < first],
            )
            yield shown
            rest = message._replace(
                texts=message.texts if len(shown.texts) < len(message.texts) else (),
                answers=[answer for answer in message.answers if answer not in shown.answers],
            )
        for turn in turns_of_message(rest):
            talk.withdrawn[turn.role, turn.time] = UNDONE


def _without_replays(messages: Iterable[StoredMessage], talk: Talk) -> Iterator[StoredMessage]:
    """Messages less those that opencode sent again, because the provider had refused them.

    Such a one follows the summary of a compaction marked `overflow`, has the words of the
    last question, and that question has no answer. Who repeats himself is heard twice.
    """
    question: object = None
    is_open = asked = summed_up = False
    for message in messages:
        if message.overflow:
            asked, summed_up = is_open, False
        elif message.role is None:
            summed_up = summed_up or asked
        elif message.role == "assistant" and (message.texts or message.answers):
            is_open = asked = summed_up = False
        elif message.role == "user" and message.texts:
            words = [text for _, text in message.texts]
            if summed_up and words == question:
                asked = summed_up = False
                talk.withdrawn[message.role, message.time] = REPLAYED
                continue
            else:
                question, is_open, asked, summed_up = words, True, False, False
        yield message
