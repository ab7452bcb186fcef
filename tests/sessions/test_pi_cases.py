"""Stores of agents in unusual situations, each with the exact turns that are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.transcripts.wing import project_wing
from tests.sessions.pi_writing import FIXTURES, read_all, talk_of

CASES = sorted(path.parent for path in FIXTURES.with_name("pi-cases").glob("*/expect.json"))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_gives_exactly_the_turns_that_are_right(case: Path) -> None:
    expected: dict[str, Any] = json.loads((case / "expect.json").read_text("utf-8"))["expect"]
    sessions = read_all(case / "sessions")
    talks = {name: talk_of(session) for name, session in sessions.items()}
    wanted = {name: [tuple(turn) for turn in want["turns"]] for name, want in expected.items()}
    assert sorted(talks.values()) == sorted(wanted.values())
    for name, want in expected.items():
        [id] = [id for id, talk in talks.items() if talk == wanted[name]]
        assert id == name or name not in talks
        for text in want.get("never", []):
            assert text not in json.dumps(talks[id]) + sessions[id].ref.title
        if "wing" in want:
            assert project_wing(sessions[id].ref.directory) == want["wing"]
