"""Beside a writer nothing is lost: whatever it did is there at the next look."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.recall.following import FollowedPalace
from tests.palaces import script, script_environment
from tests.palaces.making import SHAPES, Drawer, embed, follow, truth, writing
from tests.palaces.repairing import Model, setting
from tests.palaces.told_writer import SEED, START

WRITER = script("told_writer.py")
OPERATIONS = 120  # of some ten drawers each: index files are written every 200


class Writer:
    """A chromadb client in another process, and what is true after what it did."""

    def __init__(self, process: subprocess.Popen[str], shape: str) -> None:
        self._process = process
        self._operations = writing(SEED, START)
        self.truth: dict[str, dict[str, Drawer]] = truth(SHAPES[shape])

    def step(self, how: str = "on") -> None:
        """Do the next operation."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(how + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"
        operation = next(self._operations)
        follow(self.truth[operation.collection], operation)


@contextmanager
def writer(palace: Path, home: Path, shape: str) -> Iterator[Writer]:
    """A writer that waits to be told."""
    process = subprocess.Popen(
        [sys.executable, WRITER, str(palace)],
        env=script_environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Writer(process, shape)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=60)


def assert_same(reader: FollowedPalace, held: dict[str, dict[str, Drawer]]) -> None:
    """The reader has exactly these drawers, each with the vector of its present text."""
    assert reader.collections.keys() == held.keys()
    for name, drawers in held.items():
        vectors = reader.collections[name].vectors
        assert reader.collections[name].trouble == ""
        assert vectors.places.keys() == drawers.keys()
        expected = embed([one.text for one in drawers.values()], 384)
        found = np.array([vectors.raw(drawer) for drawer in drawers])
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.fixture
def place(palace: Callable[[str], PalaceLocation]) -> PalaceLocation:
    """A palace whose index is written every 200 operations."""
    return palace("usual")


def test_readers_that_look_often_seldom_and_once_all_have_what_was_written(
    place: PalaceLocation, tmp_path: Path
) -> None:
    often, seldom, late = (FollowedPalace(place) for _ in range(3))
    for reader in (often, seldom, late):
        reader.refresh()
    with writer(place.path, tmp_path, "usual") as written:
        for number in range(OPERATIONS):
            written.step()
            often.refresh()
            ids = {name: one.vectors.places.keys() for name, one in often.collections.items()}
            assert ids == {name: held.keys() for name, held in written.truth.items()}
            if number % 17 == 16:
                seldom.refresh()
                assert_same(seldom, written.truth)
        late.refresh()
        for reader in (often, seldom, late):
            reader.refresh()
            assert_same(reader, written.truth)
        assert often.loads >= 1
        assert late.loads == 2  # index files were written, and the queue purged, unseen


def test_a_rebuilt_index_in_the_place_of_the_old_one_is_loaded(
    place: PalaceLocation, tmp_path: Path
) -> None:
    reader = FollowedPalace(place)
    reader.refresh()
    held = truth(SHAPES["usual"])
    folder = place.path / reader.collections["mempalace_drawers"].vector_segment
    (folder / "link_lists.bin").write_bytes(b"")
    repaired = repair_palace(
        place, plan_repair(place, check_palace(place)), setting(tmp_path, Model())
    )
    assert repaired.sound
    reader.refresh()
    assert reader.loads == 2
    now = place.path / reader.collections["mempalace_drawers"].vector_segment
    assert now != folder
    assert_same(reader, held)
    with writer(place.path, tmp_path, "usual") as written:
        for _ in range(30):
            written.step()
            reader.refresh()
        assert_same(reader, written.truth)
