"""Which held turns stay, leave or are found again in a reading, and where they stand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.intake.kept_turns import Reading, merge, told_reasons
from mempalace_toolkit.sessions.model import Mark, Role, Turn

START = 1_790_000_000_000


def turn(word: str, at: int = -1, text: str = "") -> Turn:
    """`q3` is a question said at START + 30, `a3` its answer one millisecond later."""
    role: Role = "user" if word[0] == "q" else "assistant"
    moment = START + 10 * int(word[1:]) + (role == "assistant") if at == -1 else at
    return Turn(role, text or word, moment, "")


def talk(words: str) -> list[Turn]:
    return [turn(word) for word in words.split()]


def told(turns: tuple[Turn, ...]) -> str:
    return " ".join(turn.text for turn in turns)


@pytest.mark.parametrize(
    ("held", "read", "merged", "kept"),
    [
        ("q1 a1 q2 a2 q3 a3", "q1 a1 q3 a3", "q1 a1 q2 a2 q3 a3", 2),
        ("q1 a1 q2 a2", "", "q1 a1 q2 a2", 4),
        ("q1 a1 q2 a2 q3 a3", "q1 a1", "q1 a1 q2 a2 q3 a3", 4),
        ("q1 a1 q2 a2", "q1 a1 q9 a9", "q1 a1 q2 a2 q9 a9", 2),
        ("q1 a1 q2 a2 q9 a9", "q1 a1 q9 a9", "q1 a1 q2 a2 q9 a9", 2),
        ("q1 a1 q3 a3", "q1 a1 q2 a2 q3 a3", "q1 a1 q2 a2 q3 a3", 0),
        ("q1 a1 q5 a5", "q3 a3 q7 a7", "q1 a1 q3 a3 q5 a5 q7 a7", 4),
    ],
)
def test_what_is_absent_stays_where_it_stood(held: str, read: str, merged: str, kept: int) -> None:
    result = merge(Reading(talk(read)), talk(held))
    assert (told(result.turns), result.kept, dict(result.withdrawn)) == (merged, kept, {})


def test_what_is_marked_as_undone_leaves_and_says_why() -> None:
    marks: dict[Mark, str] = {
        ("user", turn("q2").time): "undone",
        ("assistant", turn("a2").time): "undone",
    }
    result = merge(Reading(talk("q1 a1"), withdrawn=marks), talk("q1 a1 q2 a2"))
    assert (told(result.turns), result.kept) == ("q1 a1", 0)
    assert result.withdrawn == {2: "undone", 3: "undone"}


def test_a_marked_message_that_is_there_stays() -> None:
    marks: dict[Mark, str] = {("user", turn("q1").time): "undone"}
    result = merge(Reading(talk("q1 a1"), withdrawn=marks), talk("q1 a1"))
    assert (told(result.turns), dict(result.withdrawn)) == ("q1 a1", {})


def test_a_longer_text_takes_the_place_of_the_one_that_was_streaming() -> None:
    held = [turn("q1"), turn("a1", text="It is\n half")]
    read = [turn("q1"), turn("a1", text="It is half done.")]
    assert merge(Reading(read), held).turns == tuple(read)


@pytest.mark.parametrize("text", ["It is", "Quite another thing"])
def test_a_shorter_or_other_text_does_not_take_its_place(text: str) -> None:
    held = [turn("q1"), turn("a1", text="It is half done.")]
    read = [turn("q1"), turn("a1", text=text)]
    result = merge(Reading(read), held)
    assert {one.text for one in result.turns} == {"q1", text, "It is half done."}
    assert merge(Reading(read), result.turns).turns == result.turns


def test_a_mended_reader_may_give_a_message_another_text() -> None:
    held = [turn("q1", text="<file>…</file>Explain it"), turn("a1")]
    read = [turn("q1", text="Explain it"), turn("a1")]
    assert merge(Reading(read, mended=True), held).turns == tuple(read)
    assert merge(Reading(read), held).kept == 1


def test_turns_without_a_time_are_known_by_their_texts_as_often_as_those_were_said() -> None:
    held = [turn("q1", 0, "go on"), turn("a1", 0), turn("q2", 0, "go on"), turn("a2", 0)]
    assert merge(Reading(held), held).turns == tuple(held)
    result = merge(Reading(held[:2]), held)
    assert result.kept == 2
    assert result.turns == tuple(held)


def test_times_that_were_in_seconds_do_not_double_the_talk() -> None:
    read = talk("q1 a1 q2 a2")
    held = [turn(one.text, one.time // 1000) for one in read]
    assert merge(Reading(read), held).turns == tuple(read)


def test_what_a_fork_copied_is_left_to_its_original() -> None:
    result = merge(Reading(talk("q2 a2"), copied=talk("q1 a1")), talk("q1 a1 q2 a2"))
    assert (told(result.turns), result.kept) == ("q2 a2", 0)


def test_reasons_are_told_with_their_counts() -> None:
    assert told_reasons(["undone", "undone"]) == "2 turns: undone"
    assert told_reasons(["undone", "left", "left"]) == "3 turns: 2 left, 1 undone"


roles = st.sampled_from(["user", "assistant"])
texts = st.sampled_from(["a", "ab", "a b", "c", "go on", "other"])
times = st.sampled_from([0, -5, *range(START, START + 6)])
turns = st.lists(st.builds(Turn, roles, texts, times, st.just("")), max_size=9)


@settings(deadline=None, max_examples=300)
@given(turns, turns, st.dictionaries(st.tuples(roles, times), st.just("undone"), max_size=4))
def test_merging_again_changes_nothing_and_nothing_is_lost_unmarked(
    read: list[Turn], held: list[Turn], marks: dict[tuple[Role, int], str]
) -> None:
    reading = Reading(read, withdrawn=marks)
    merged = merge(reading, held)
    again = merge(reading, merged.turns)
    assert again.turns == merged.turns
    assert set(read) <= set(merged.turns)
    left = {(one.role, one.text) for one in merged.turns}
    for position, one in enumerate(held):
        contained = any("".join(one.text.split()) in "".join(t.split()) for _, t in left)
        assert (one.role, one.text) in left or position in merged.withdrawn or contained


@settings(deadline=None)
@given(turns)
def test_a_healed_store_doubles_nothing(said: list[Turn]) -> None:
    said = list(dict.fromkeys(said))
    damaged = merge(Reading(said[::2]), said)
    healed = merge(Reading(said), damaged.turns)
    assert healed.turns == tuple(said)
