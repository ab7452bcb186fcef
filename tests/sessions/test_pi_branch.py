"""Which of a pi file's entries are what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sessions.pi_writing import (
    START,
    START_MS,
    chain,
    header,
    kinds,
    lines,
    read_one,
    said,
    talk_of,
    write,
)

AB = ["Ask", "Answer"]


def moved(entry: dict[str, Any], parent: Any) -> dict[str, Any]:
    return {**entry, "parentId": parent}


def other(kind: str, id: str, parent: str | None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "id": id, "parentId": parent, "timestamp": START, **more}


def without(entry: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


ABANDONED = [*chain("a", "b", "old", "older"), *chain("new", "newer", prefix="n", parent="e1")]
DEEP_CIRCLE = [moved(entry, f"e{(n - 1) % 4}") for n, entry in enumerate(chain(*"abcd"))]

BRANCHES = {
    "the way from the last entry to the root": (ABANDONED, "a b new newer", []),
    "a second root leaves the first": (
        [*chain("a", "b"), *chain("c", "d", prefix="n")],
        "c d",
        [],
    ),
    "going back without typing changes nothing": (
        [*chain("a", "b"), other("label", "l", "e1", targetId="e0", label="x")],
        "a b",
        [],
    ),
    "a link to a lost line goes on with the line before": (
        [*chain("a", "b"), *chain("c", "d", prefix="n", parent="gone")],
        "a b c d",
        ["broken_chain"],
    ),
    "a lost line does not bring an abandoned branch back": (
        [*ABANDONED, *chain("on", prefix="x", parent="gone")],
        "a b new newer on",
        ["broken_chain"],
    ),
    "an entry that links to itself": (
        [*chain("a", "b"), moved(said("user", "c", "n0", None), "n0")],
        "a b c",
        ["broken_chain"],
    ),
    "links in a circle": (DEEP_CIRCLE, "a b c d", ["broken_chain"]),
    "an entry without parentId": (
        [*chain("a", "b"), without(said("user", "c", "n0", None), "parentId")],
        "a b c",
        ["broken_chain"],
    ),
    "a parentId that is no text": (
        [*chain("a", "b"), moved(said("user", "c", "n0", None), 7)],
        "a b c",
        ["broken_chain"],
    ),
    "of two entries with one id the last counts": (
        [*chain("a", "wrong"), *chain("a", "b", "c")[1:]],
        "a b c",
        ["repeated_entry"],
    ),
    "a file appended to itself is read once": (
        [*chain("a", "b"), *chain("a", "b")],
        "a b",
        ["repeated_entry"],
    ),
    "an answer taken back is dropped": (
        [
            *chain("a", "again"),
            other("context_edit", "x", "e1", targetId="e1", replacement=None),
            *[said("assistant", "again", "n0", "x")],
        ],
        "a again",
        [],
    ),
    "an answer replaced by something stays as it was said": (
        [*chain("a", "b"), other("context_edit", "x", "e1", targetId="e1", replacement="cut")],
        "a b",
        [],
    ),
    "an answer taken back and put in again was said": (
        [
            *chain("a", "b"),
            other("context_edit", "x", "e1", targetId="e1", replacement=None),
            other("context_edit", "y", "x", targetId="e1", replacement="b, in short"),
        ],
        "a b",
        [],
    ),
    "an edit without the word replacement takes nothing back": (
        [*chain("a", "b"), other("context_edit", "x", "e1", targetId="e1")],
        "a b",
        [],
    ),
    "an edit on an abandoned branch takes nothing back": (
        [
            *chain("a", "b"),
            other("context_edit", "x", "e1", targetId="e1", replacement=None),
            *chain("c", "d", prefix="n", parent="e1"),
        ],
        "a b c d",
        [],
    ),
    "a compaction keeps what it sums up": (
        [
            *chain("a", "b"),
            other("compaction", "x", "e1", summary="SUM", firstKeptEntryId="e1"),
            *chain("c", "d", prefix="n", parent="x"),
        ],
        "a b c d",
        [],
    ),
}


@pytest.mark.parametrize(("entries", "talk", "found"), BRANCHES.values(), ids=BRANCHES.keys())
def test_the_live_branch(
    tmp_path: Path, entries: list[dict[str, Any]], talk: str, found: list[str]
) -> None:
    session = read_one(write(tmp_path, lines(header(), *entries)))
    assert [turn.text for turn in session.turns] == talk.split()
    assert kinds(session) == found


CONTENTS = {
    "text": ("plain", ["plain"]),
    "a block": ([{"type": "text", "text": "x"}], ["x"]),
    "blocks are joined by line feeds": (
        [{"type": "text", "text": " x "}, {"type": "text", "text": "y\n"}],
        [" x \ny\n"],
    ),
    "blank blocks are no lines": (
        [{"type": "text", "text": "x"}, {"type": "text", "text": " \n"}],
        ["x"],
    ),
    "thinking, calls and pictures are no talk": (
        [
            {"type": "thinking", "thinking": "t"},
            {"type": "toolCall", "name": "bash", "arguments": {"text": "t"}},
            {"type": "image", "data": "iVBO", "text": "t"},
            {"type": "text", "text": "x"},
        ],
        ["x"],
    ),
    "blank text": ("  \n", []),
    "no blocks": ([], []),
    "blocks that are none": ([1, None, "x", [], {"type": "text"}, {"type": "text", "text": 1}], []),
    "a number": (5, []),
    "nothing": (None, []),
    "an object": ({"type": "text", "text": "x"}, []),
}


@pytest.mark.parametrize(("content", "texts"), CONTENTS.values(), ids=CONTENTS.keys())
def test_the_visible_text_of_a_message(tmp_path: Path, content: Any, texts: list[str]) -> None:
    entry = said("user", "", "e0", None)
    entry["message"]["content"] = content
    session = read_one(write(tmp_path, lines(header(), entry)))
    assert [turn.text for turn in session.turns] == texts


@pytest.mark.parametrize("role", ["system", "toolResult", "bashExecution", "custom", None, 3, []])
def test_only_user_and_assistant_speak(tmp_path: Path, role: Any) -> None:
    entries = [*chain(*AB), said(role, "not talk", "x", "e1"), *chain("on", parent="x", prefix="n")]
    session = read_one(write(tmp_path, lines(header(), *entries)))
    assert talk_of(session) == [("user", "Ask"), ("assistant", "Answer"), ("user", "on")]


ISO = "2026-03-01T10:00:07.250Z"
TIMES = {
    "ISO": (ISO, START_MS + 7250),
    "ISO with an offset": ("2026-03-01T11:00:07.250+01:00", START_MS + 7250),
    "ISO without one is UTC": ("2026-03-01T10:00:07.250", START_MS + 7250),
    "milliseconds": (START_MS + 7250, START_MS + 7250),
    "a fraction of a millisecond is rounded": (START_MS + 7249.6, START_MS + 7250),
    "seconds": (START_MS / 1000 + 7.25, START_MS + 7250),
    "missing: the message's own": (None, START_MS + 9000),
    "not a date": ("yesterday", START_MS + 9000),
    "a negative number": (-5, START_MS + 9000),
    "a number without end": (float("inf"), START_MS + 9000),
    "not a number": (float("nan"), START_MS + 9000),
    "true": (True, START_MS + 9000),
    "a date out of range": ("0001-01-01T00:00:00+23:00", START_MS + 9000),
}


@pytest.mark.parametrize(("stamp", "time"), TIMES.values(), ids=TIMES.keys())
def test_the_time_of_a_turn(tmp_path: Path, stamp: Any, time: int) -> None:
    entry = {**said("user", "x", "e0", None, 9), "timestamp": stamp}
    session = read_one(write(tmp_path, lines(header(), entry)))
    assert session.turns[0].time == time


def test_without_any_time_a_turn_has_the_files(tmp_path: Path) -> None:
    entry = without(said("user", "x", "e0", None), "timestamp")
    del entry["message"]["timestamp"]
    session = read_one(write(tmp_path, lines(header(), entry)))
    assert session.turns[0].time == session.ref.updated == START_MS


TITLES = {
    "the first line of the first question": (chain("\n  One\ttwo \nthree", "b"), "One two"),
    "at most eighty characters": (chain("word " * 40, "b"), ("word " * 16)[:79].rstrip() + "…"),
    "the last name": (
        [
            *chain("a", "b"),
            other("session_info", "i", "e1", name="First"),
            other("session_info", "j", "i", name=" Second\nname "),
        ],
        "Second name",
    ),
    "no name when the last one is empty": (
        [
            *chain("a", "b"),
            other("session_info", "i", "e1", name="First"),
            other("session_info", "j", "i", name=""),
        ],
        "a",
    ),
    "nothing where nobody asked": ([said("assistant", "b", "e0", None)], ""),
}


@pytest.mark.parametrize(("entries", "title"), TITLES.values(), ids=TITLES.keys())
def test_the_title(tmp_path: Path, entries: list[dict[str, Any]], title: str) -> None:
    assert read_one(write(tmp_path, lines(header(), *entries))).ref.title == title


def test_version_one_has_no_tree_and_is_read_in_file_order(tmp_path: Path) -> None:
    entries = [without(entry, "id", "parentId") for entry in chain("a", "b", "a", "b")]
    session = read_one(write(tmp_path, lines(header(version=None), *entries)))
    assert [turn.text for turn in session.turns] == ["a", "b", "a", "b"]
    assert len({turn.key for turn in session.turns}) == 4
    assert session.findings == ()


def test_a_key_is_the_entrys_id_and_time(tmp_path: Path) -> None:
    session = read_one(write(tmp_path, lines(header(), *chain("a"))))
    assert session.turns[0].key == f"e0|{START}"


def test_a_hundred_thousand_turns_are_one_branch(tmp_path: Path) -> None:
    path = write(tmp_path, lines(header(), *chain(*(f"t{n}" for n in range(100_000)))))
    session = read_one(path)
    assert len(session.turns) == 100_000
    assert [turn.text for turn in session.turns[::99_999]] == ["t0", "t99999"]
