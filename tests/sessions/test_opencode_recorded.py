"""Every recorded opencode store gives exactly the turns of its manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.errors import UnknownSchemaError
from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import RECORDED, tree

CASES = sorted(
    path.parent.relative_to(RECORDED).as_posix() for path in RECORDED.rglob("manifest.json")
)
READABLE = [case for case in CASES if case != "2.0.26/unknown"]


def manifest(case: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((RECORDED / case / "manifest.json").read_text("utf-8"))
    return loaded


def read_all(store: Path) -> dict[str, Session]:
    with open_store([store]) as opened:
        return {ref.id: opened.read_session(ref) for ref in opened.find_sessions()}


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED / request.param, tmp_path / "store"))


def test_there_are_41_recorded_stores() -> None:
    assert len(CASES) == 41


@pytest.mark.parametrize(("store", "case"), [(case, case) for case in READABLE], indirect=["store"])
def test_a_recorded_store_gives_its_manifests_turns(store: Path, case: str) -> None:
    read = read_all(store)
    for expected in manifest(case)["sessions"]:
        if expected.get("deleted"):
            assert expected["id"] not in read
            continue
        session = read[expected["id"]]
        turns = [[turn.role, turn.text] for turn in session.turns]
        if expected.get("tail_unspecified"):
            turns = turns[: len(expected["turns"])]
        if expected.get("may_appear"):
            allowed = expected["may_appear"]
            turns = [turn for turn in turns if not any(text in turn[1] for text in allowed)]
        assert turns == expected["turns"]


@pytest.mark.parametrize(("store", "case"), [(case, case) for case in READABLE], indirect=["store"])
def test_nothing_hidden_or_undone_is_in_any_turn(store: Path, case: str) -> None:
    read = read_all(store)
    for expected in manifest(case)["sessions"]:
        if expected["id"] not in read:
            continue
        turns = read[expected["id"]].turns
        for text in expected.get("must_not_appear", ()):
            assert not [turn for turn in turns if text in turn.text]
        for text in expected.get("assistant_must_not_contain", ()):
            assert not [turn for turn in turns if turn.role == "assistant" and text in turn.text]


@pytest.mark.parametrize(("store", "case"), [(case, case) for case in READABLE], indirect=["store"])
def test_a_recorded_store_gives_its_manifests_references(store: Path, case: str) -> None:
    read = read_all(store)
    for expected in manifest(case)["sessions"]:
        if expected.get("deleted"):
            continue
        session = read[expected["id"]]
        assert session.ref.directory == expected["directory"]
        assert session.ref.parent == expected["parent"]
        assert session.copied == expected.get("copied_turns", 0)
        assert session.copied_from == expected.get("forked_from")
        assert session.ref.archived == bool(expected.get("archived"))
        title = expected.get("renamed_to") or expected.get("title")
        if title:
            assert session.ref.title == title


@pytest.mark.parametrize("store", READABLE, indirect=True)
def test_reading_a_recorded_store_leaves_every_file_as_it_was(store: Path) -> None:
    before = tree(store)
    read_all(store)
    assert tree(store) == before


@pytest.mark.parametrize("store", READABLE, indirect=True)
def test_a_recorded_store_is_read_without_a_finding(store: Path) -> None:
    with open_store([store]) as opened:
        sessions = [opened.read_session(ref) for ref in opened.find_sessions()]
        assert opened.findings == ()
        assert [session.findings for session in sessions if session.findings] == []


@pytest.mark.parametrize("store", ["1.18.33/fork", "1.1.65/fork"], indirect=True)
def test_a_forks_copied_turns_have_the_keys_of_the_originals(store: Path) -> None:
    read = read_all(store)
    forks = [session for session in read.values() if session.copied_from]
    assert forks
    for fork in forks:
        original = read[fork.copied_from or ""]
        copied = [turn.key for turn in fork.turns[: fork.copied]]
        assert copied == [turn.key for turn in original.turns[: fork.copied]]
        own = {turn.key for turn in fork.turns[fork.copied :]}
        assert own.isdisjoint(turn.key for turn in original.turns)


@pytest.mark.parametrize("store", ["2.0.26/unknown"], indirect=True)
def test_a_schema_from_the_future_is_an_error_that_names_its_tables(store: Path) -> None:
    with pytest.raises(UnknownSchemaError) as caught:
        open_store([store])
    for name in ("opencode.db", "session_v9", "turn_v9"):
        assert name in caught.value.message
    assert caught.value.hint
