"""A check is one moment: beside a live writer it finds no damage on a sound palace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mempalace_toolkit.chroma.records import read_records
from mempalace_toolkit.errors import PalaceBusyError, PalaceMovedError
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.check.moment import at_one_moment
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces import script, script_environment

CHECKS = 40
WRITER = script("live_writer.py")


@contextmanager
def live_writer(palace: Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """A chromadb client that writes all the time."""
    writer = subprocess.Popen(
        [sys.executable, WRITER, str(palace)],
        env=script_environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout and writer.stdout.readline() == "writing\n"
        yield writer
    finally:
        assert writer.stdin
        writer.stdin.close()
        writer.wait(timeout=60)


def test_beside_a_live_writer_no_check_and_no_plan_tells_of_damage(
    palace: Callable[[str], PalaceLocation], tmp_path: Path
) -> None:
    place = palace("killed")
    judged = 0
    with live_writer(place.path, tmp_path) as writer:
        for _ in range(CHECKS):
            with suppress(PalaceBusyError):
                findings = check_palace(place)
                assert [one for one in findings if not one.harmless] == []
                assert plan_repair(place, findings).grade == "nothing"
                judged += 1
        assert writer.poll() is None
    assert judged > CHECKS // 4


def test_what_is_read_in_one_look_is_of_one_transaction(
    palace: Callable[[str], PalaceLocation], tmp_path: Path
) -> None:
    place = palace("killed")
    with live_writer(place.path, tmp_path):
        looks = []
        for _ in range(CHECKS):
            with suppress(PalaceBusyError, PalaceMovedError):
                both = at_one_moment(place, lambda: (read_records(place), read_records(place)))
                looks.append(both.seen)
    assert len(looks) > CHECKS // 4
    for first, second in looks:
        assert [one.queue for one in first.collections] == [one.queue for one in second.collections]


def test_files_that_change_during_every_look_are_busy_and_no_damage(
    palace: Callable[[str], PalaceLocation],
) -> None:
    place = palace("tiny")
    looks = []

    def look() -> None:
        looks.append(1)
        with place.database.open("r+b") as file:
            os.utime(file.fileno(), ns=(len(looks), len(looks)))

    with pytest.raises(PalaceMovedError, match="is writing to the palace"):
        at_one_moment(place, look)
    assert len(looks) == 4


def test_a_failure_while_the_files_change_is_another_look_and_no_failure(
    palace: Callable[[str], PalaceLocation],
) -> None:
    place = palace("tiny")
    looks = []

    def look() -> str:
        looks.append(1)
        if len(looks) == 1:
            os.utime(place.database, ns=(1, 1))
            raise ValueError("torn")
        return "whole"

    assert at_one_moment(place, look).seen == "whole"
    with pytest.raises(ZeroDivisionError):
        at_one_moment(place, lambda: 1 // 0)


def test_a_check_of_a_write_ahead_palace_in_a_read_only_folder_leaves_no_trace(
    palace: Callable[[str], PalaceLocation],
) -> None:
    import sqlite3

    place = palace("tiny")
    with sqlite3.connect(place.database) as database:
        database.execute("pragma journal_mode = wal")
    database.close()
    before = tree_state(place.path)
    place.path.chmod(0o500)
    try:
        assert [one for one in check_palace(place) if not one.harmless] == []
    finally:
        place.path.chmod(0o700)
    assert tree_state(place.path) == before
