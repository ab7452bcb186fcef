"""Kills at random moments: the next repair heals, nothing is lost, nothing is embedded twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mempalace_toolkit.chroma.records import read_records
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.quarantine.note import note_replaced
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.index.salvage.salvage import salvage
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.toolkit_lock import palace_lock
from tests.palaces import damages_files as files
from tests.palaces import damages_values as values
from tests.palaces import script, script_environment
from tests.palaces.fixtures import Copy
from tests.palaces.opening import Chroma
from tests.palaces.repairing import Model, location, setting
from tests.palaces.seen_vectors import assert_right
from tests.palaces.segment_editing import Victim

STORM = script("storm.py")
KILLS = 9  # a scene: 54 with the kernel's exchange of names and 54 without


def _full_text_index_gone(victim: Victim) -> None:
    database = sqlite3.connect(victim.database)
    database.execute("drop table embedding_fulltext_search")
    database.commit()
    database.close()


def _kept_indexes(victim: Victim) -> None:
    for day in range(1, 4):
        folder = victim.segment.with_name(f"{victim.segment.name}.drift-2025060{day}-000000")
        shutil.copytree(victim.older_segment, folder)
        note_replaced(folder, ["links_damaged"])


@dataclass(frozen=True)
class Scene:
    """What is wrong with the palace, and what is done about it and killed."""

    damage: Callable[[Victim], None]
    what: str


SCENES = {
    "rebuild": Scene(files.links_zeroed, "repair"),
    "rebuild that embeds": Scene(files.level0_cut, "repair"),
    "top-up": Scene(values.ids_dropped, "repair"),
    "database": Scene(_full_text_index_gone, "repair"),
    "prune": Scene(_kept_indexes, "prune"),
    "restore": Scene(_kept_indexes, "restore"),
}


def missing(palace: PalaceLocation) -> int:
    """How many drawers' vectors are nowhere."""
    return sum(len(salvage(palace.path, one).missing()) for one in read_records(palace).collections)


def start(palace: PalaceLocation, home: Path, what: str, exchange: str) -> subprocess.Popen[str]:
    """Begin it in a process of its own, and return when it does."""
    process = subprocess.Popen(
        [sys.executable, STORM, str(palace.path), str(home), what, exchange],
        env=script_environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def heal(palace: PalaceLocation, home: Path, model: Model) -> None:
    """The next repair, once the killed one's children are gone, too."""
    with palace_lock(palace.path, home, 60, "test"):
        for _ in range(3):  # a database, then the index that it shows
            findings = check_palace(palace)
            plan = plan_repair(palace, findings)
            if plan.grade == "nothing":
                break
            assert repair_palace(palace, plan, setting(home, model)).sound
    assert all(one.harmless for one in check_palace(palace))


@pytest.mark.slow
@pytest.mark.parametrize("exchange", ["with", "without"])
@pytest.mark.parametrize("name", SCENES)
def test_a_kill_at_any_moment_is_healed_without_loss(
    palace: Copy,
    made: Callable[[str], Path],
    chroma: Chroma,
    tmp_path: Path,
    name: str,
    exchange: str,
    record_property: Callable[[str, object], None],
) -> None:
    scene, moments = SCENES[name], random.Random(f"{name} {exchange}")
    whole = palace("usual")
    seen = chroma.ask(Path(shutil.copytree(whole.path, tmp_path / "asked")))
    damaged = Victim(whole.path, made("usual_earlier"), chroma)
    scene.damage(damaged)
    taken = 0.0
    for number in range(KILLS):
        place = PalaceLocation(tmp_path / f"palace {number}", "chroma", "minilm")
        subprocess.run(["cp", "-a", location(damaged).path, place.path], check=True)
        lost = missing(place) if name != "database" else 0
        process = start(place, tmp_path, scene.what, exchange)
        began = time.monotonic()
        if not taken:  # the first is let through, to know how long it takes
            assert process.wait(timeout=120) == 0
            taken = time.monotonic() - began
            shutil.rmtree(place.path)
            subprocess.run(["cp", "-a", location(damaged).path, place.path], check=True)
            process = start(place, tmp_path, scene.what, exchange)
        time.sleep(moments.uniform(0, taken))
        os.kill(process.pid, signal.SIGKILL)
        ended = process.wait(timeout=60)
        record_property(f"kill {number}", ended)
        model = Model()
        heal(place, tmp_path, model)
        assert_right(chroma, place, seen)
        assert len(set(model.texts)) <= lost + 64, "more was embedded than was lost and sampled"
        assert not list(place.path.glob(".*.exchanging"))
        shutil.rmtree(place.path)
