"""The private copy of a store: there while it is read, gone afterwards, whatever happened."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mempalace_toolkit.sessions.opencode.private_copy import private_copy


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "opencode.db", tmp_path / "opencode.db-wal"]
    for file in made:
        file.write_bytes(b"private talk")
    return made


def test_the_copy_is_for_its_owner_alone_and_gone_afterwards(
    place: Path, files: list[Path]
) -> None:
    with private_copy(files) as copy:
        assert copy is not None
        assert copy.parent.parent == place
        assert copy.parent.stat().st_mode & 0o777 == 0o700
        assert {file.read_bytes() for file in copy.parent.iterdir()} == {b"private talk"}
    assert list(place.iterdir()) == []


def test_a_copy_of_files_that_changed_meanwhile_is_not_used_and_gone(
    place: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def and_write(source: Path, target: Path) -> None:
        copyfile(source, target)
        files[0].write_bytes(b"longer private talk")

    monkeypatch.setattr(shutil, "copyfile", and_write)
    with private_copy(files) as copy:
        assert copy is None
    assert list(place.iterdir()) == []


def test_a_copy_that_cannot_be_made_is_none_and_leaves_nothing(
    place: Path, files: list[Path]
) -> None:
    files[1].unlink()
    with private_copy(files) as copy:
        assert copy is None
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_stays(
    place: Path, files: list[Path]
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = place / f"mempalace-toolkit-copy-{dead.pid}-abc"
    used = place / "mempalace-toolkit-copy-1-abc"
    other = place / f"mempalace-toolkit-other-{dead.pid}-abc"
    for folder in (left, used, other):
        folder.mkdir()
        (folder / "opencode.db").write_bytes(b"private talk")
    with private_copy(files):
        assert not left.exists()
    assert {used, other} == set(place.iterdir())
