"""A repair that a signal ends: no child is left, and the next repair does it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.history.runs import read_history
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.palace.location import PalaceLocation
from tests.cli.test_interruption import is_alive, start
from tests.conftest import Sandbox
from tests.mining.test_mempalace_failures import wait_for
from tests.palaces.repairing import repair


def children_of(process: int) -> set[int]:
    """What it has started, and that has started something in its turn, as far as it runs."""
    try:
        listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return set()
    return {one for child in map(int, listed) for one in (child, *children_of(child))}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_repair_ended_in_the_middle_leaves_no_child_and_the_next_one_repairs(
    bare: Sandbox, palace: Callable[[str], PalaceLocation], sent: signal.Signals, code: int
) -> None:
    place = palace("drawers_only")
    for segment in place.path.glob("????????-*"):
        if (segment / "link_lists.bin").is_file():
            links = segment / "link_lists.bin"
            links.write_bytes(bytes(links.stat().st_size))
    assert bare.run("mempalace-toolkit", "check", "--palace", place.path).code == 65
    asked = ("repair", "--yes", "--palace", str(place.path))
    process = start(bare, *asked, name="mempalace-toolkit")
    children = wait_for(lambda: children_of(process.pid))
    os.kill(process.pid, sent)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (code, False), err
    assert "the next run finishes what was begun" in err
    wait_for(lambda: not any(map(is_alive, children)))
    again = repair(place, check_palace(place), bare.home)  # with the vectors' own model
    assert again.sound
    assert again.plan.to_embed == 0
    runs = read_history(bare.home / ".local/state/mempalace-toolkit")
    assert [(run.status, run.exit_code, run.repaired) for run in runs] == [
        ("interrupted", code, False)
    ]
