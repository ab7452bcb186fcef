"""The recall benchmark's own judgement: what counts as found, and when ours counts as worse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.recall.corpus import Question, find_faults, read_corpus
from benchmarks.recall.scores import Found, compare, find, holds

PASSAGE = "the quick brown fox jumps over the lazy dog"


@pytest.mark.parametrize(
    ("drawer", "held"),
    [
        ("x the quick\n brown  fox jumps over the lazy dog y", True),
        ("tail ends the quick brown fox jumps ov", True),
        ("tail ends the quick brown fox", False),
        ("fox jumps over the lazy dog. And so on", True),
        ("the lazy dog. And so on", False),
        ("the quick brown fox jumps ov and more", False),
        ("", False),
    ],
)
def test_a_drawer_holds_a_passage_whole_or_its_larger_half_at_a_cut(
    drawer: str, held: bool
) -> None:
    assert holds(drawer, PASSAGE) is held


def test_a_passage_counts_only_in_the_right_session() -> None:
    question = Question("?", "s", PASSAGE, "en")
    assert find(question, [("t", PASSAGE), ("s", "no"), ("s", PASSAGE)]) == Found(2, 3)
    assert find(question, [("t", PASSAGE)]) == Found(0, 0)


def test_worse_is_more_than_chance_explains() -> None:
    assert not compare([1] * 100, [1] * 100).worse
    assert compare([0] * 8 + [1] * 92, [1] * 100).worse
    assert not compare([0] * 8 + [1] * 92, [1] * 90 + [0] * 10).worse


def test_the_corpus_is_sound_and_its_check_can_fail() -> None:
    talks, questions = read_corpus()
    assert find_faults(talks, questions) == []
    assert len(talks) >= 20
    assert len(questions) >= 80
    lost = replace(questions[0], passage="nowhere in all of the talk")
    assert find_faults(talks, [lost, *questions[1:]])
    assert find_faults(talks[:10], questions)
    assert find_faults([*talks, talks[0]], questions)
