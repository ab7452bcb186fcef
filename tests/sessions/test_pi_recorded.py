"""Every recorded pi store gives exactly what its manifest says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.sessions.pi import open_store
from tests.sessions.pi_writing import FIXTURES, read_all, snapshot, talk_of

CASES = sorted(path.parent for path in FIXTURES.glob("*/*/manifest.json"))
NAMES = [f"{case.parent.name}/{case.name}" for case in CASES]


def places_of(case: Path) -> list[Path]:
    """The sessions folder; for the case `dirs` a home with four places to look in."""
    home = case / "home"
    if home.is_dir():
        return [home / ".pi/agent", home / "alt", home / "alt2", home / "alt3"]
    return [case / "sessions"]


def expected_turns(case: Path, session: dict[str, Any]) -> list[tuple[str, str]]:
    turns = [(role, text) for role, text in session["turns"]]
    if (case.parent.name, case.name) == ("0.87.1", "errors"):
        # The manifest lists every answer in the file. pi took this one back (a context_edit
        # without a replacement names it) before it wrote it again, so it was said once.
        twice = ("assistant", "Cut answer PE-A4")
        assert turns.count(twice) == 2
        turns.remove(twice)
    return turns


def test_all_recorded_stores_are_here() -> None:
    assert len(CASES) == 25


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_recorded_store_gives_the_turns_of_its_manifest(case: Path) -> None:
    manifest = json.loads((case / "manifest.json").read_text("utf-8"))
    sessions = read_all(*places_of(case))
    assert set(sessions) == {session["id"] for session in manifest["sessions"]}
    for wanted in manifest["sessions"]:
        session = sessions[wanted["id"]]
        assert talk_of(session) == expected_turns(case, wanted)
        assert session.ref.directory == wanted["directory"]
        assert session.copied == wanted.get("copied_turns", 0)
        assert session.findings == ()


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_nothing_undone_hidden_or_synthetic_is_taken(case: Path) -> None:
    manifest = json.loads((case / "manifest.json").read_text("utf-8"))
    sessions = read_all(*places_of(case))
    for wanted in manifest["sessions"]:
        text = "\n".join(turn.text for turn in sessions[wanted["id"]].turns)
        for hidden in wanted["must_not_appear"] + wanted.get("shown_custom", []):
            assert hidden not in text
        for _, undone in wanted.get("abandoned_turns", []):
            assert undone not in text


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_reading_leaves_a_recorded_store_as_it_is(case: Path) -> None:
    before = snapshot(case)
    read_all(*places_of(case))
    with open_store(places_of(case)) as store:
        store.signature()
    assert snapshot(case) == before


@pytest.mark.parametrize(
    ("case", "title"),
    [
        ("0.49.3/custom", "Renamed session PU"),
        ("1.5.2/custom", "Renamed session PU"),
        ("0.87.1/killed", "Before kill PK-U1 [[say:Before PK-A1]]"),
        (
            "1.5.2/basic",
            'Why Postgres? PB-U1 [[tool:bash {"command": "echo BASH-OUT-MARK"}]] [[say:Becau…',
        ),
    ],
)
def test_the_title_is_the_last_name_or_the_first_question(case: str, title: str) -> None:
    [session] = read_all(FIXTURES / case).values()
    assert session.ref.title == title
    assert len(title) <= 80


def test_times_are_those_of_the_entries() -> None:
    [session] = read_all(FIXTURES / "0.30.2/basic").values()
    assert session.ref.created == 1795222907987
    assert [turn.time for turn in session.turns][:2] == [1795222908032, 1795222908122]
    assert session.ref.updated == session.turns[-1].time


@pytest.mark.parametrize("version", ["0.49.3", "1.5.2"])
def test_a_fork_names_the_session_its_copies_stand_in(version: str) -> None:
    manifest = json.loads((FIXTURES / version / "fork/manifest.json").read_text("utf-8"))
    original = manifest["sessions"][0]["id"]
    for session in read_all(FIXTURES / version / "fork").values():
        assert session.copied_from == (original if session.copied else None)


def test_a_fork_shares_its_copied_turns_keys_with_the_original() -> None:
    sessions = read_all(FIXTURES / "1.5.2/fork")
    keys = [turn.key for session in sessions.values() for turn in session.turns[session.copied :]]
    everything = {turn.key for session in sessions.values() for turn in session.turns}
    assert len(keys) == len(set(keys)) == len(everything)
