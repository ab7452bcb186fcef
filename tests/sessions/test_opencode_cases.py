"""Stores of unusual situations, each with the turns that are right in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import tree

CASES = Path(__file__).parents[1] / "fixtures" / "cases"
EXACT = [
    "oc-import-missed-a-project",
    "oc-overflow-replay",
    "oc-removed-worktree",
    "oc-rollover-undo",
    "oc2-continued-with-1x",
]


def expected(case: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CASES / case / "expect.json").read_text("utf-8"))
    sessions: dict[str, Any] = loaded["expect"]
    return sessions


def read_case(folder: Path) -> dict[str, Session]:
    with open_store([folder]) as store:
        return {ref.id: store.read_session(ref) for ref in store.find_sessions()}


def copied(case: str, tmp_path: Path, part: str = "opencode") -> Path:
    return Path(shutil.copytree(CASES / case / part, tmp_path / part))


@pytest.mark.parametrize("case", EXACT)
def test_a_case_gives_exactly_its_turns(tmp_path: Path, case: str) -> None:
    folder = copied(case, tmp_path)
    before = tree(folder)
    read = read_case(folder)
    turns = {
        session: [[turn.role, turn.text] for turn in found.turns] for session, found in read.items()
    }
    assert turns == {session: wanted["turns"] for session, wanted in expected(case).items()}
    assert tree(folder) == before


def test_an_undo_across_the_wrap_of_ids_marks_what_came_after_it(tmp_path: Path) -> None:
    (session,) = read_case(copied("oc-rollover-undo", tmp_path)).values()
    assert [role for role, _ in session.withdrawn] == ["user", "assistant"]
    assert set(session.withdrawn.values()) == {"undone by a revert"}
    latest = max(turn.time for turn in session.turns)
    assert all(time > latest for _, time in session.withdrawn)


def test_a_question_that_opencode_asked_again_is_marked_as_no_talk(tmp_path: Path) -> None:
    (session,) = read_case(copied("oc-overflow-replay", tmp_path)).values()
    assert session.withdrawn == {
        ("user", 1795568705937): "asked again by opencode itself after a compaction"
    }


def test_what_was_typed_into_the_question_tool_is_the_users_word(tmp_path: Path) -> None:
    (session,) = read_case(copied("oc-answer-to-question-tool", tmp_path)).values()
    assert [(turn.role, turn.text) for turn in session.turns[1:]] == [
        ("assistant", "Let me do that (step 1)."),
        ("user", "Which database do you want?\nCockroachDB because of geo-replication"),
        ("assistant", "Q1 done"),
    ]
    times = [turn.time for turn in session.turns]
    assert times == sorted(times)


def test_rows_that_an_upgrade_wiped_are_marked_in_nothing(tmp_path: Path) -> None:
    case = "oc-wiped-by-upgrade"
    before = read_case(copied(case, tmp_path, "step1"))
    turns = {
        session: [[turn.role, turn.text] for turn in found.turns]
        for session, found in before.items()
    }
    assert turns == {session: wanted["turns"] for session, wanted in expected(case).items()}
    after = read_case(copied(case, tmp_path, "step2"))
    assert list(after) == list(before)
    assert not any(session.turns or session.withdrawn for session in after.values())
