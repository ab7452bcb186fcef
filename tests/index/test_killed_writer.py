"""A writer like MemPalace's, killed by SIGKILL at a hundred moments; nothing it wrote is lost."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces.making import SHAPES, Drawer, follow, truth, writing
from tests.palaces.opening import Chroma, Seen
from tests.palaces.repairing import repair

KILLS = 100
GROUPS = 10
FIRST_NUMBER = 2000
FILES = (
    "header.bin",
    "data_level0.bin",
    "length.bin",
    "link_lists.bin",
    "index_metadata.pickle",
)
State = dict[str, dict[str, Drawer]]


def moments(group: int) -> Iterator[tuple[int, dict[str, object]]]:
    """Seeds, and when to kill: half at any moment, half while the index is being written."""
    dice = random.Random(group)
    for number in range(KILLS // GROUPS):
        file = dice.choice(FILES) if number % 2 else ""
        seconds = dice.choice([0, 0, 0.0005, 0.002]) if file else dice.uniform(0, 0.03)
        yield (
            group * 1000 + number,
            {"step": dice.randrange(1, 8), "file": file, "seconds": seconds},
        )


def possible_states(seed: int, lines: list[str]) -> list[State]:
    """What the palace may hold: all that was done, with or without what had begun."""
    states = []
    for word in ("done", "begun"):
        count = sum(line.startswith(word) for line in lines)
        state = truth(SHAPES["killed"])
        for _, operation in zip(range(count), writing(seed, FIRST_NUMBER), strict=False):
            follow(state[operation.collection], operation)
        states.append(state)
    return states


def shows(seen: dict[str, Seen], state: State) -> bool:
    """Whether a client finds all of a state: every text, and every drawer by searching."""
    return all(
        seen[name].texts == {one.id: one.text for one in drawers.values()}
        and seen[name].reached == set(drawers)
        for name, drawers in state.items()
    )


@pytest.mark.parametrize(
    "group", [0, *(pytest.param(one, marks=pytest.mark.slow) for one in range(1, GROUPS))]
)
def test_what_a_killed_writer_leaves_is_judged_rightly_and_repaired_without_loss(
    made: Callable[[str], Path], tmp_path: Path, chroma: Chroma, group: int
) -> None:
    for seed, moment in moments(group):
        palace = PalaceLocation(tmp_path / f"killed-{seed}", "chroma", "minilm")
        subprocess.run(["cp", "-a", made("killed"), palace.path], check=True)
        ended = chroma.request(
            "write_until_killed",
            palace.path,
            seed=seed,
            start=FIRST_NUMBER,
            dimension=384,
            kill=moment,
        )
        assert ended.get("signal") == signal.SIGKILL, ended
        before = tree_state(palace.path)
        findings = check_palace(palace)
        assert tree_state(palace.path) == before
        if any(not finding.harmless for finding in findings):
            result = repair(palace, findings, tmp_path)
            assert result.plan.to_embed == 0, findings
        seen = chroma.ask(palace.path)
        assert any(shows(seen, state) for state in possible_states(seed, ended["lines"])), (
            seed,
            moment,
            findings,
        )
