"""A plan that fails half-way is undone, and the scheduler is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mempalace_toolkit.errors import WriteUndoneError
from mempalace_toolkit.schedule.steps import Plan, Run, WriteFile, apply
from tests.schedule.rendering import account_at


def note(folder: Path, word: str, code: int = 0, undo: Run | None = None) -> Run:
    """A program that writes a word down and ends with a code."""
    return Run(("sh", "-c", f"echo {word} >> {folder}/calls; exit {code}"), undo=undo)


def calls(folder: Path) -> list[str]:
    file = folder / "calls"
    return file.read_text().split() if file.exists() else []


def test_after_an_undo_the_scheduler_is_told_once_the_files_are_as_they_were(
    tmp_path: Path,
) -> None:
    unit = tmp_path / "unit"
    unit.write_bytes(b"old")
    settle = Run(("sh", "-c", f"cat {unit} >> {tmp_path}/calls; echo >> {tmp_path}/calls"))
    steps = (
        WriteFile(unit, b"new"),
        note(tmp_path, "first", undo=note(tmp_path, "back")),
        note(tmp_path, "failing", code=3, undo=note(tmp_path, "half")),
        note(tmp_path, "never"),
    )
    with pytest.raises(WriteUndoneError, match=r"failed \(3\)"):
        apply(Plan("cron", "session", steps, settle=(settle,)), account_at(tmp_path))
    assert calls(tmp_path) == ["first", "failing", "half", "back", "old"]
    assert unit.read_bytes() == b"old"


def test_a_plan_that_is_carried_out_settles_nothing(tmp_path: Path) -> None:
    plan = Plan("cron", "session", (note(tmp_path, "first"),), settle=(note(tmp_path, "settled"),))
    apply(plan, account_at(tmp_path))
    assert calls(tmp_path) == ["first"]


def test_a_plan_that_fails_at_once_has_nothing_to_settle(tmp_path: Path) -> None:
    steps = (note(tmp_path, "failing", code=1),)
    with pytest.raises(WriteUndoneError):
        apply(
            Plan("cron", "session", steps, settle=(note(tmp_path, "settled"),)),
            account_at(tmp_path),
        )
    assert calls(tmp_path) == ["failing"]
