"""Vectors in files: found by text, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.mining.kept_vectors import (
    KeptVectors,
    VectorWriter,
    digest_of,
    forget,
    forget_unused,
)

RECORD = 32 + 4 * 384 + 8


def write(folder: Path, texts: list[str], seed: int = 1) -> dict[str, bytes]:
    rows = np.random.default_rng(seed).random((len(texts), 384), np.float32)
    writer = VectorWriter(folder)
    writer.add([digest_of(text) for text in texts], rows)
    writer.close()
    return {text: row.tobytes() for text, row in zip(texts, rows, strict=True)}


def found(folder: Path, texts: list[str]) -> dict[str, bytes]:
    kept = KeptVectors(folder)
    rows = {text: kept.find(digest_of(text)) for text in texts}
    return {text: row.tobytes() for text, row in rows.items() if row is not None}


def test_every_text_of_every_writer_is_found_to_the_last_bit(tmp_path: Path) -> None:
    one = write(tmp_path / "kept", [f"text {n}" for n in range(5000)])
    two = write(tmp_path / "kept", ["", "\ud800", "鷺"], seed=2)
    assert found(tmp_path / "kept", [*one, *two, "nobody wrote this"]) == one | two


def test_the_folder_and_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    os.umask(0o022)
    write(tmp_path / "data" / "kept", ["a"])
    for path in (tmp_path / "data").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert found(tmp_path / "none", ["a"]) == {}
    forget(tmp_path / "none")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 4 * RECORD), zeros=st.integers(0, 2 * RECORD), flip=st.integers(0, 999))
def test_a_torn_or_altered_file_gives_right_vectors_or_none(
    tmp_path_factory: object, cut: int, zeros: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("kept")  # type: ignore[attr-defined]
    written = write(folder, ["a", "b", "c", "d"])
    (file,) = folder.glob("*.vectors")
    content = bytearray(file.read_bytes()[:cut] + b"\0" * zeros)
    if content:
        content[flip * len(content) // 1000] ^= 1
    file.write_bytes(content)
    assert found(folder, [*written]).items() <= written.items()


def test_only_what_was_written_long_ago_is_removed(tmp_path: Path) -> None:
    for name in ("old", "grown", "new"):
        write(tmp_path / name / "model", [name])
        if name != "new":
            for file in (tmp_path / name, *(tmp_path / name).rglob("*")):
                os.utime(file, (1_000, 1_000))
    write(tmp_path / "grown" / "model", ["more"])
    forget_unused(tmp_path, 2_000)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["grown", "new"]
    forget_unused(tmp_path / "missing", 2_000)
