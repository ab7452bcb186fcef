"""One id in several files: sessions of several projects, copies of one, backups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.intake.selection import Selection
from mempalace_toolkit.sessions.model import Remembered
from mempalace_toolkit.sessions.pi import open_store
from tests.sessions.pi_writing import chain, header, lines, read_all, said, talk_of, write

NAME = "2026-03-01T10-00-00-000Z_s1.jsonl"
TALK = chain("a", "b", "c", "d")
OTHER = chain("x", "y", prefix="n", parent="e1")


def put(folder: Path, name: str, *rows: dict[str, object], **more: Any) -> Path:
    return write(folder, lines(header(**more), *rows), name)


def findings_of(place: Path) -> list[tuple[str, str]]:
    with open_store([place]) as store:
        list(store.find_sessions())
        return [(found.kind, Path(found.path).name) for found in store.findings]


COPIES = ["x (conflicted copy).jsonl", "a.sync-conflict-20261125-1.jsonl", f"{NAME}.bak"]


@pytest.mark.parametrize("name", [*COPIES, f"{NAME}.old", f"{NAME}~"])
@pytest.mark.parametrize("length", [2, 4])
def test_a_copy_without_turns_of_its_own_is_nothing_to_speak_of(
    tmp_path: Path, name: str, length: int
) -> None:
    put(tmp_path, NAME, *TALK)
    put(tmp_path, name, *TALK[:length])
    assert [turn.text for turn in read_all(tmp_path)["s1"].turns] == list("abcd")
    assert findings_of(tmp_path) == []


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_with_turns_of_its_own_is_a_finding_with_a_remedy(tmp_path: Path, name: str) -> None:
    put(tmp_path, NAME, *TALK)
    put(tmp_path, name, *TALK[:2], *OTHER)
    assert [turn.text for turn in read_all(tmp_path)["s1"].turns] == list("abcd")
    with open_store([tmp_path]) as store:
        [found] = store.findings
    assert (found.kind, Path(found.path).name) == ("conflicting_copy", name)
    assert "2 messages" in found.message
    assert "pi --fork" in found.message


def test_the_fuller_of_two_copies_is_read_whatever_its_name(tmp_path: Path) -> None:
    put(tmp_path, NAME, *TALK[:2])
    put(tmp_path, COPIES[0], *TALK)
    assert [turn.text for turn in read_all(tmp_path)["s1"].turns] == list("abcd")
    assert findings_of(tmp_path) == []


def test_a_backup_revives_nothing(tmp_path: Path) -> None:
    put(tmp_path, NAME, *TALK[:2])
    put(tmp_path, f"{NAME}.bak", *TALK)
    put(tmp_path, "2026_s2.jsonl.bak", *TALK, id="s2")
    assert {name: len(one.turns) for name, one in read_all(tmp_path).items()} == {"s1": 2}
    assert findings_of(tmp_path) == [
        ("conflicting_copy", f"{NAME}.bak"),
        ("backup_file", "2026_s2.jsonl.bak"),
    ]


def test_one_id_in_two_projects_is_two_sessions_and_both_are_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "1", NAME, *TALK, cwd="/alpha")
    put(tmp_path / "2", NAME, *OTHER, cwd="/beta", timestamp="2026-03-02T10:00:00Z")
    sessions = read_all(tmp_path / "1", tmp_path / "2")
    [first, second] = sessions
    assert first == "s1"
    assert second.startswith("s1~")
    assert talk_of(sessions["s1"])[0] == ("user", "a")
    assert sessions[second].ref.directory == "/beta"
    with open_store([tmp_path / "1", tmp_path / "2"]) as store:
        refs = list(store.find_sessions())
    assert [Selection(session="s1").covers(ref) for ref in refs] == [True, True]
    assert [Selection(session=second).covers(ref) for ref in refs] == [False, True]


def test_a_session_keeps_its_name_while_others_of_its_id_come(tmp_path: Path) -> None:
    put(tmp_path / "1", NAME, *TALK, cwd="/alpha")
    put(tmp_path / "2", NAME, *OTHER, cwd="/beta", timestamp="2026-03-02T10:00:00Z")
    before = list(read_all(tmp_path / "1", tmp_path / "2"))
    put(tmp_path / "3", NAME, *TALK, cwd="/gamma", timestamp="2026-03-03T10:00:00Z")
    assert list(read_all(tmp_path / "1", tmp_path / "2", tmp_path / "3"))[:2] == before


def names_after(recorded: dict[str, Remembered], *places: Path) -> dict[str, str]:
    """The names in a store that was told what is recorded, each with its folder."""
    with open_store(places) as store:
        store.remember(recorded)
        return {ref.id: ref.directory for ref in store.find_sessions()}


def recorded_in(*places: Path) -> dict[str, Remembered]:
    with open_store(places) as store:
        return {ref.id: Remembered(ref.change_key, ref.directory) for ref in store.find_sessions()}


def test_no_session_takes_the_name_of_one_that_is_gone(tmp_path: Path) -> None:
    first = put(tmp_path / "1", NAME, *TALK, id="nightly", cwd="/alpha")
    late = {"cwd": "/beta", "timestamp": "2026-03-02T10:00:00Z"}
    put(tmp_path / "2", NAME, *TALK, id="nightly", **late)
    recorded = recorded_in(tmp_path / "1", tmp_path / "2")
    [alpha, beta] = recorded
    first.unlink()
    assert names_after(recorded, tmp_path / "2") == {beta: "/beta"}
    anew = said("user", "anew", "z", None, 99)
    put(tmp_path / "1", NAME, anew, id="nightly", cwd="/alpha")
    names = names_after(recorded, tmp_path / "1", tmp_path / "2")
    assert alpha not in names
    assert sorted(names.values()) == ["/alpha", "/beta"]


def test_a_session_that_is_recorded_keeps_its_plain_name_when_an_older_one_comes(
    tmp_path: Path,
) -> None:
    late = {"cwd": "/beta", "timestamp": "2026-03-02T10:00:00Z"}
    put(tmp_path / "2", NAME, *TALK, **late)
    recorded = recorded_in(tmp_path / "2")
    old = {"s1": Remembered("1-2", "/beta")}  # as an older version wrote it
    put(tmp_path / "1", NAME, *TALK, cwd="/alpha")
    for known in (recorded, old):
        assert names_after(known, tmp_path / "1", tmp_path / "2")["s1"] == "/beta"


def test_a_session_of_pis_own_id_keeps_its_name_when_its_first_lines_are_lost(
    tmp_path: Path,
) -> None:
    id = "01a21048-d618-719d-840f-e64a78a6e405"
    name = f"2026-03-01T10-00-00-000Z_{id}.jsonl"
    put(tmp_path, name, *TALK, id=id)
    recorded = recorded_in(tmp_path)
    for content in (lines(header(id), *TALK[1:]), lines(*TALK)):
        write(tmp_path, content, name)
        assert list(names_after(recorded, tmp_path)) == [id]
