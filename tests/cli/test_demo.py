"""`mempalace-toolkit demo`: the first thing that a newcomer sees."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Sandbox, tree_state

SAMPLES = Path(__file__).parents[2] / "mempalace_toolkit" / "samples"


def test_the_demonstration_answers_both_questions_and_leaves_nothing(sandbox: Sandbox) -> None:
    before = tree_state(SAMPLES)
    answer = sandbox.run("mempalace-toolkit", "demo", "--json")
    assert answer.code == 0, answer
    answers = answer.json["answers"]
    assert [one["right"] for one in answers] == [True, True]
    assert [one["hits"][0]["agent"] for one in answers] == ["opencode", "pi"]
    assert all(hit["resume"] for one in answers for hit in one["hits"])
    assert not sandbox.palace.exists()
    assert not sandbox.data.exists()
    assert tree_state(SAMPLES) == before


def test_a_demonstration_in_a_folder_of_one_s_own_is_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    answer = sandbox.run("mempalace-toolkit", "demo", "--keep", kept)
    assert answer.code == 0, answer
    assert "which a transaction gives you" in " ".join(answer.out.split())
    assert (kept / "palace" / "chroma.sqlite3").is_file()
    again = sandbox.run("mempalace-toolkit", "demo", "--keep", kept)
    assert again.code == 2
    assert "is not empty" in again.err


def test_the_sample_talk_holds_no_marks_of_a_test() -> None:
    for file in SAMPLES.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not [mark for mark in (b"[[", b"BASIC-", b"PE-U", b"/home/a/") if mark in content]
