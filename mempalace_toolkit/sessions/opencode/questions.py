"""What the user answered to the question tool: the user's own words, kept in a tool's part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ANSWERED = '"="'


def question_and_answer(state: object) -> str:
    """Each question with the answers given to it; empty where none was answered.

    `state` is the tool part's: `input.questions`, and `metadata.answers` (1.x) or
    `structured.answers` (2.x), a list of answers for each question. Where the lists are
    missing they are taken from the text that the model got.
    """
    if not isinstance(state, dict) or state.get("status") != "completed":
        return ""
    questions = _questions(state.get("input"))
    answers = _listed(state) or _from_output(questions, _output(state))
    blocks = []
    for question, given in zip(questions, answers, strict=False):
        texts = [text for text in given if isinstance(text, str) and text.strip()]
        if texts:
            blocks.append("\n".join(filter(str.strip, (question, ", ".join(texts)))))
    return "\n\n".join(blocks)


def answered_at(part: dict[str, Any]) -> object:
    """When the answer was given, as stored."""
    state = part.get("state")
    for holder, name in ((state, "end"), (part, "completed")):
        times = holder.get("time") if isinstance(holder, dict) else None
        if isinstance(times, dict) and name in times:
            return times[name]
    return None


def _questions(asked: object) -> list[str]:
    found = asked.get("questions") if isinstance(asked, dict) else None
    if not isinstance(found, list):
        return []
    texts = [item.get("question") if isinstance(item, dict) else None for item in found]
    return [text if isinstance(text, str) else "" for text in texts]


def _listed(state: dict[str, Any]) -> list[list[object]]:
    for name in ("metadata", "structured"):
        holder = state.get(name)
        answers = holder.get("answers") if isinstance(holder, dict) else None
        if isinstance(answers, list):
            return [given if isinstance(given, list) else [given] for given in answers]
    return []


def _output(state: dict[str, Any]) -> str:
    output = state.get("output")
    if isinstance(output, str):
        return output
    content = state.get("content")
    blocks = content if isinstance(content, list) else []
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _from_output(questions: Sequence[str], output: str) -> list[list[object]]:
    """Answers out of `… "question"="answer", "question"="answer". You can now …`."""
    starts = []
    at = 0
    for question in questions:
        label = f'"{question}{_ANSWERED}'
        found = output.find(label, at)
        if found < 0:
            return []
        starts.append((found, found + len(label)))
        at = found + len(label)
    answers: list[list[object]] = []
    for (_, begin), following in zip(starts, [*starts[1:], None], strict=False):
        end = output.rfind('"', begin, following[0]) if following else output.rfind('". ', begin)
        text = output[begin:end] if end >= begin else output[begin:].rstrip('."')
        answers.append([] if text == "Unanswered" else [text])
    return answers
