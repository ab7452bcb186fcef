"""What stands in two pi sessions is counted as copied in the younger one, and only there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.pi import open_store
from tests.sessions.pi_writing import chain, header, lines, read_all, said, write

LATER = "2026-03-01T11:00:00.000Z"
LATEST = "2026-03-01T12:00:00.000Z"
ORIGINAL = "2026-03-01T10-00-00-000Z_s1.jsonl"
TALK = chain("q1", "a1", "q2", "a2")


def fork(id: str, time: str = LATER, of: str | None = f"/gone/{ORIGINAL}") -> dict[str, Any]:
    more: dict[str, Any] = (
        {"timestamp": time} if of is None else {"timestamp": time, "parentSession": of}
    )
    return header(id, **more)


def more(parent: str | None, *talk: str, prefix: str = "n") -> list[dict[str, Any]]:
    return [
        {**entry, "timestamp": f"2026-03-01T13:00:0{number}.000Z"}
        for number, entry in enumerate(chain(*talk, prefix=prefix, parent=parent))
    ]


def put(root: Path, name: str, *values: Any) -> Path:
    return write(root, lines(*values), name)


def copies(sessions: dict[str, Session]) -> dict[str, tuple[int, str | None]]:
    return {name: (session.copied, session.copied_from) for name, session in sessions.items()}


def unlike(text: str) -> list[dict[str, Any]]:
    return [said("user", text, "u0", None, 30), said("assistant", "ok", "u1", "u0", 31)]


PARENTS = {
    "its path": ("2026_s1.jsonl", "/gone/2026_s1.jsonl"),
    "its path on Windows": ("2026_other.jsonl", "C:\\gone\\2026_other.jsonl"),
    "its path, with another id in the name": ("2026_other.jsonl", "/gone/2026_other.jsonl"),
    "its path, though it was renamed since": ("renamed.jsonl", "/gone/2026_s1.jsonl"),
    "its id": ("2026_other.jsonl", "s1"),
}


@pytest.mark.parametrize(("name", "link"), PARENTS.values(), ids=PARENTS.keys())
def test_a_fork_names_its_parent_by(tmp_path: Path, name: str, link: str) -> None:
    too_long_to_be_compared = said("user", "long " * 20_000, "e0", None)
    talk = [too_long_to_be_compared, *TALK[1:]]
    put(tmp_path, name, header(), *talk)
    put(tmp_path, "x_f1.jsonl", fork("f1", of=link), *talk[:2], *more("e1", "q3", "a3"))
    put(tmp_path, "x_f2.jsonl", fork("f2", LATEST, of=link), *talk)
    assert copies(read_all(tmp_path)) == {"s1": (0, None), "f1": (2, "s1"), "f2": (4, "s1")}


def test_a_branch_of_version_one_names_its_parent_in_its_own_way(tmp_path: Path) -> None:
    old = [{k: v for k, v in entry.items() if k not in ("id", "parentId")} for entry in TALK]
    long = {**old[0], "message": {"role": "user", "content": "long " * 20_000}}
    put(tmp_path, ORIGINAL, header(version=None), long, *old[1:])
    branch = header("f1", None, timestamp=LATER, branchedFrom=f"/gone/{ORIGINAL}")
    put(tmp_path, "x_f1.jsonl", branch, long, *old[1:3])
    assert copies(read_all(tmp_path))["f1"] == (3, "s1")


def test_a_session_that_only_names_a_parent_copies_nothing(tmp_path: Path) -> None:
    put(tmp_path, ORIGINAL, header(), *TALK)
    put(tmp_path, "x_f1.jsonl", fork("f1"), *unlike("new talk"))
    assert copies(read_all(tmp_path))["f1"] == (0, None)


def test_a_clone_without_a_parent_is_found_by_its_first_entry(tmp_path: Path) -> None:
    put(tmp_path, ORIGINAL, header(), *TALK)
    put(tmp_path, "x_f1.jsonl", fork("f1", of=None), *TALK, *more("e3", "q3", "a3"))
    assert copies(read_all(tmp_path))["f1"] == (4, "s1")


def test_the_fork_of_a_fork_counts_against_its_own_parent(tmp_path: Path) -> None:
    grown = [*TALK, *more("e3", "q3", "a3")]
    put(tmp_path, ORIGINAL, header(), *TALK)
    put(tmp_path, "x_f1.jsonl", fork("f1"), *grown)
    put(tmp_path, "x_f2.jsonl", fork("f2", LATEST, "/gone/x_f1.jsonl"), *grown)
    assert copies(read_all(tmp_path)) == {"s1": (0, None), "f1": (4, "s1"), "f2": (6, "f1")}


def test_forks_of_a_parent_that_is_gone_count_against_the_oldest(tmp_path: Path) -> None:
    put(tmp_path, "x_f1.jsonl", fork("f1"), *TALK)
    put(tmp_path, "x_f2.jsonl", fork("f2", LATEST), *TALK[:3])
    assert copies(read_all(tmp_path)) == {"f1": (0, None), "f2": (3, "f1")}


def test_two_sessions_that_name_each_other_do_not_both_copy(tmp_path: Path) -> None:
    put(tmp_path, "x_f1.jsonl", fork("f1", of="x_f2.jsonl"), *TALK)
    put(tmp_path, "x_f2.jsonl", fork("f2", of="x_f1.jsonl"), *TALK)
    assert copies(read_all(tmp_path)) == {"f1": (0, None), "f2": (4, "f1")}


def test_a_turn_that_the_parent_left_behind_is_not_a_copy(tmp_path: Path) -> None:
    put(tmp_path, ORIGINAL, header(), *TALK, *more("e1", "other way", "yes"))
    put(tmp_path, "x_f1.jsonl", fork("f1"), *TALK)
    assert copies(read_all(tmp_path))["f1"] == (2, "s1")


def test_a_fork_that_gave_new_ids_is_known_by_time_role_and_text(tmp_path: Path) -> None:
    old = [{k: v for k, v in entry.items() if k not in ("id", "parentId")} for entry in TALK]
    put(tmp_path, ORIGINAL, header(version=None), *old)
    put(tmp_path, "x_f1.jsonl", fork("f1"), *chain("q1", "a1", "q2", "a2", prefix="fresh"))
    assert copies(read_all(tmp_path))["f1"] == (4, "s1")


def test_the_same_words_in_a_session_of_its_own_are_no_copy(tmp_path: Path) -> None:
    put(tmp_path, ORIGINAL, header(), *unlike("hello"))
    put(tmp_path, "x_f1.jsonl", fork("f1", of=None), *more(None, "hello", "ok"))
    assert copies(read_all(tmp_path))["f1"] == (0, None)


def test_a_forks_change_key_changes_with_its_parent(tmp_path: Path) -> None:
    parent = put(tmp_path, ORIGINAL, header(), *TALK)
    put(tmp_path, "x_f1.jsonl", fork("f1"), *TALK)
    put(tmp_path, "x_n1.jsonl", fork("n1", of=None), *unlike("alone"))

    def keys() -> dict[str, str]:
        with open_store([tmp_path]) as store:
            return {ref.id: ref.change_key for ref in store.find_sessions()}

    before = keys()
    assert keys() == before
    with parent.open("ab") as stream:
        stream.write(lines(*more("e1", "other way", "yes")))
    after = keys()
    assert {name for name in before if before[name] != after[name]} == {"s1", "f1"}


def test_of_two_files_of_a_session_the_fuller_is_read(tmp_path: Path) -> None:
    old = put(tmp_path, ORIGINAL, header(version=None), *TALK[:2])
    new = put(tmp_path / "elsewhere", ORIGINAL, header(), *TALK)
    os.utime(new, ns=(1, 1_000_000_000))
    for places in ([old, new], [new, old]):
        with open_store(places) as store:
            [ref] = store.find_sessions()
            assert ref.source == str(new)
            assert len(store.read_session(ref).turns) == 4
            assert store.findings == ()


def test_rewriting_version_one_as_three_changes_the_key_and_no_turn(tmp_path: Path) -> None:
    entries = [{k: v for k, v in e.items() if k not in ("id", "parentId")} for e in TALK]
    path = put(tmp_path, ORIGINAL, header(version=None), *entries)
    with open_store([tmp_path]) as store:
        [before] = store.find_sessions()
        old = store.read_session(before)
        path.write_bytes(lines(header(), *TALK))
        [after] = store.find_sessions()
        new = store.read_session(after)
    assert (before.id, before.created) == (after.id, after.created)
    assert before.change_key != after.change_key
    said_before = [(turn.role, turn.text, turn.time) for turn in old.turns]
    assert said_before == [(turn.role, turn.text, turn.time) for turn in new.turns]


def test_reading_a_fork_first_or_last_gives_the_same(tmp_path: Path) -> None:
    put(tmp_path, ORIGINAL, header(), *TALK)
    put(tmp_path, "x_f1.jsonl", fork("f1"), *TALK)
    with open_store([tmp_path]) as store:
        refs = list(store.find_sessions())
        forwards = [store.read_session(ref) for ref in refs]
    with open_store([tmp_path]) as store:
        backwards = [store.read_session(ref) for ref in reversed(list(store.find_sessions()))]
    assert forwards == backwards[::-1]
    assert json.dumps([session.copied for session in forwards]) == "[0, 4]"
