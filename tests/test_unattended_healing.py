"""A damaged palace under the whole job: healed in one run, and told; or left alone, and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox, tree_state
from tests.filled_home import EXCHANGES, segment
from tests.test_whole_job import BASIC, drawers, say

pytestmark = pytest.mark.palace


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "folder renamed away": lambda folder: folder.rename(f"{folder}.drift-20261101-030000"),
    "pickle deleted": lambda folder: (folder / "index_metadata.pickle").unlink(),
    "pickle empty": lambda folder: (folder / "index_metadata.pickle").write_bytes(b""),
    "data zeroed": lambda folder: zero(folder / "data_level0.bin"),
    "links zeroed": lambda folder: zero(folder / "link_lists.bin"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_index_is_healed_in_one_run_and_said(palace_home: Sandbox, name: str) -> None:
    DAMAGES[name](segment(palace_home.palace))
    before = sorted(text for _, _, text in drawers(palace_home))
    assert palace_home.run("mempalace-toolkit", "check", "--json").code == 65
    answer = palace_home.session("--json")
    assert answer.code == 0, answer
    told = answer.json
    assert told["index"]["before"]["status"] == "damaged"
    assert told["index"]["after"]["status"] == "sound"
    assert told["repairs"][0]["sound"] is True
    assert sorted(text for _, _, text in drawers(palace_home)) == before
    assert palace_home.run("mempalace-toolkit", "check").code == 0
    assert "heron 37?" in palace_home.search("How heavy is heron 37?").split("[1]")[1]
    embedded = sum(one["embedded"] for one in told["repairs"][0]["collections"])
    if name != "data zeroed":
        assert embedded == 0


def test_without_repair_a_damaged_index_is_not_opened_and_the_pages_are_kept(
    palace_home: Sandbox,
) -> None:
    DAMAGES["links zeroed"](segment(palace_home.palace))
    store = palace_home.opencode / "opencode.db"
    say(store, BASIC, EXCHANGES, "What of the zeppelin?", "It floats.")
    before = tree_state(segment(palace_home.palace))
    answer = palace_home.session("--no-repair", "--json")
    assert answer.code == 65
    assert answer.json["status"] == "damaged"
    assert tree_state(segment(palace_home.palace)) == before
    healed = palace_home.session("--json")
    assert healed.code == 0, healed
    assert "It floats" in palace_home.search("What of the zeppelin?")


def test_by_hand_the_plan_is_shown_first_and_nothing_is_written(palace_home: Sandbox) -> None:
    DAMAGES["links zeroed"](segment(palace_home.palace))
    before = tree_state(palace_home.palace)
    shown = palace_home.run("mempalace-toolkit", "repair", "--dry-run")
    assert shown.code == 0
    assert "rebuild the index" in shown.out
    assert tree_state(palace_home.palace) == before
    done = palace_home.run("mempalace-toolkit", "repair", "--yes", "--json")
    assert done.code == 0, done
    assert json.loads(done.out)["repair"]["sound"] is True
    listed = palace_home.run("mempalace-toolkit", "quarantine", "list", "--json").json
    assert len(listed["quarantined"]) == 1
    name = listed["quarantined"][0]["name"]
    assert palace_home.run("mempalace-toolkit", "quarantine", "restore", name).code == 0
    assert palace_home.run("mempalace-toolkit", "check").code == 65
    again = palace_home.run("mempalace-toolkit", "quarantine", "restore", name)
    assert again.code == 0, again
    assert palace_home.run("mempalace-toolkit", "check").code == 0


def test_a_sound_palace_is_checked_without_a_trace(palace_home: Sandbox) -> None:
    before = tree_state(palace_home.home)
    answer = palace_home.run("mempalace-toolkit", "check", "--json")
    assert answer.code == 0, answer
    assert answer.json["index"]["findings"] == []
    assert tree_state(palace_home.home) == before
