"""The recall corpus as values, and the check that every question can be answered from it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mempalace_toolkit.sessions.model import SessionRef, Turn

CORPUS = Path(__file__).with_name("corpus.json")
LEAST_SESSIONS = 20
LEAST_QUESTIONS = 80


@dataclass(frozen=True, slots=True)
class Talk:
    """One session of the corpus, as a store would give it."""

    ref: SessionRef
    project: str
    language: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What someone asks months later; `passage` is the verbatim answer in `session`."""

    text: str
    session: str
    passage: str
    language: str


def read_corpus(path: Path = CORPUS) -> tuple[list[Talk], list[Question]]:
    """The sessions and questions of `path`, checked; ValueError names what is wrong."""
    data = json.loads(path.read_text("utf-8"))
    talks = [_talk(entry) for entry in data["sessions"]]
    languages = {talk.ref.id: talk.language for talk in talks}
    questions = [
        Question(entry["question"], entry["session"], entry["passage"], languages[entry["session"]])
        for entry in data["questions"]
    ]
    wrong = find_faults(talks, questions)
    if wrong:
        raise ValueError("; ".join(wrong))
    return talks, questions


def _talk(entry: dict[str, Any]) -> Talk:
    turns = tuple(
        Turn(turn["role"], turn["text"], turn["time"], f"{entry['id']}-{number}")
        for number, turn in enumerate(entry["turns"])
    )
    ref = SessionRef(
        agent="opencode",
        id=entry["id"],
        title=entry["title"],
        directory=entry["directory"],
        created=turns[0].time,
        updated=turns[-1].time,
        change_key="",
        source="",
    )
    return Talk(ref, entry["project"], entry["language"], turns)


def find_faults(talks: list[Talk], questions: list[Question]) -> list[str]:
    """What makes the corpus unfit to measure with; empty where nothing does."""
    wrong = []
    if len(talks) < LEAST_SESSIONS or len(questions) < LEAST_QUESTIONS:
        wrong.append(f"too small: {len(talks)} sessions, {len(questions)} questions")
    ids = Counter(talk.ref.id for talk in talks)
    wrong += [f"session twice: {name}" for name, count in ids.items() if count > 1]
    for talk in talks:
        exchanges = sum(turn.role == "user" for turn in talk.turns)
        if not 6 <= exchanges <= 16:
            wrong.append(f"{talk.ref.id}: {exchanges} exchanges")
        times = [turn.time for turn in talk.turns]
        if times != sorted(set(times)):
            wrong.append(f"{talk.ref.id}: times do not grow")
    for question in questions:
        found = [t.ref.id for t in talks if any(question.passage in u.text for u in t.turns)]
        if found != [question.session]:
            wrong.append(f"passage of {question.session} is in {found}: {question.passage}")
        if not _fair_length(question.passage):
            wrong.append(f"passage of {len(question.passage)} characters: {question.passage}")
    asked = Counter(question.text for question in questions)
    wrong += [f"question twice: {text}" for text, count in asked.items() if count > 1]
    return wrong


def _fair_length(passage: str) -> bool:
    """20 to 120 characters; half of it where a character is a syllable or a word."""
    dense = any(ord(character) >= 0x3000 for character in passage)
    return (10 if dense else 20) <= len(passage) <= 120
