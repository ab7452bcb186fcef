"""Old indexes that a repair replaced: noted, kept, and removed beyond a budget on proof alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mempalace_toolkit.errors import WriteUndoneError
from mempalace_toolkit.index.quarantine.folders import list_quarantined, restore
from mempalace_toolkit.index.quarantine.note import note_replaced, noted
from mempalace_toolkit.index.repair.pruning import (
    PrunePlan,
    plan_pruning,
    plan_unattended_pruning,
    prune,
)
from tests.conftest import Sandbox, tree_state
from tests.filled_home import segment
from tests.palaces.repairing import location
from tests.palaces.segment_editing import Victim

TOOLKIT = "mempalace-toolkit"
NOW = "20250710-000000"


def kept_copy(victim: Victim, stamp: str, replaced: bool = True) -> Path:
    """A copy of the live index, as a repair would have kept the one that it replaced."""
    folder = victim.segment.with_name(f"{victim.segment.name}.drift-{stamp}")
    subprocess.run(["cp", "-a", victim.segment, folder], check=True)
    if replaced:
        note_replaced(folder, ["links_damaged"])
    return folder


def stamps(plan: PrunePlan) -> list[str]:
    return [one.stamp for one in plan.remove]


def test_a_run_removes_only_what_a_repair_replaced_before_it_oldest_first(victim: Victim) -> None:
    kept_copy(victim, "20250701-000000", replaced=False)
    for stamp in ("20250703-000000", "20250702-000000", NOW):
        kept_copy(victim, stamp)
    size = list_quarantined(victim.palace)[0].size
    where = location(victim)
    assert stamps(plan_unattended_pruning(where, 4 * size + 40_960, NOW)) == []
    assert stamps(plan_unattended_pruning(where, 3 * size + 40_960, NOW)) == ["20250702-000000"]
    assert stamps(plan_unattended_pruning(where, 0, NOW)) == ["20250702-000000", "20250703-000000"]
    assert stamps(plan_unattended_pruning(where, 0, "20250702-000000")) == []
    assert len(stamps(plan_pruning(where, 0))) == 4


def test_what_holds_an_only_copy_or_is_of_an_unknown_index_stays(victim: Victim) -> None:
    needed = kept_copy(victim, "20250701-000000")
    unknown = victim.palace / "00000000-0000-4000-8000-000000000000.drift-20250701-000000"
    shutil.copytree(needed, unknown)
    note_replaced(unknown, [])
    kept_copy(victim, "20250602-000000")
    shutil.rmtree(victim.segment)
    for plan in (
        plan_pruning(location(victim), 0),
        plan_unattended_pruning(location(victim), 0, NOW),
    ):
        assert stamps(plan) == ["20250602-000000"]
        assert {one.folder for one in plan.needed} == {needed, unknown}


def test_without_a_database_nothing_is_known_to_be_superfluous(victim: Victim) -> None:
    kept_copy(victim, "20250701-000000")
    for other in (
        replace(location(victim), backend="qdrant"),
        replace(location(victim), path=victim.palace.with_name("bare")),
    ):
        if other.backend == "chroma":
            shutil.copytree(victim.palace, other.path)
            other.database.unlink()
        assert stamps(plan_pruning(other, 0)) == []


def test_planning_writes_nothing_and_within_the_budget_the_database_is_not_read(
    victim: Victim,
) -> None:
    kept_copy(victim, "20250701-000000")
    before = tree_state(victim.palace)
    assert stamps(plan_pruning(location(victim), 0)) == ["20250701-000000"]
    assert tree_state(victim.palace) == before
    victim.database.write_bytes(b"garbage")
    assert plan_pruning(location(victim), 1 << 40).remove == ()
    assert plan_unattended_pruning(location(victim), 1 << 40, NOW).remove == ()


def test_what_was_pruned_is_gone_and_so_is_the_rest_of_a_killed_prune(victim: Victim) -> None:
    before = tree_state(victim.palace)
    folder = kept_copy(victim, "20250701-000000")
    rest = victim.palace / f".mempalace-toolkit-pruned-{folder.name}"
    shutil.copytree(folder, rest)
    (removed,) = prune(victim.palace, plan_pruning(location(victim), 0))
    assert (removed.folder, removed.kinds) == (folder, ("links_damaged",))
    assert tree_state(victim.palace) == before


def test_a_folder_that_cannot_be_removed_is_an_error_and_stays_whole(victim: Victim) -> None:
    folder = kept_copy(victim, "20250701-000000")
    plan = plan_pruning(location(victim), 0)
    shutil.move(folder, victim.palace / "elsewhere")
    with pytest.raises(WriteUndoneError, match=folder.name):
        prune(victim.palace, plan)
    assert (victim.palace / "elsewhere" / "header.bin").exists()


def test_the_note_is_of_the_folder_and_of_no_other_that_takes_its_name(victim: Victim) -> None:
    folder = kept_copy(victim, "20250701-000000")
    before = tree_state(victim.palace)
    restore(victim.palace, folder.name)
    assert noted(folder) is None
    assert noted(victim.segment) is None
    restore(victim.palace, folder.name)
    assert noted(folder) == ("links_damaged",)
    assert tree_state(victim.palace) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"name": 3}', b"[" * 70_000, b'{"kinds": ["x"]}'],
)
def test_a_note_that_is_none_says_nothing(victim: Victim, content: bytes) -> None:
    folder = kept_copy(victim, "20250701-000000", replaced=False)
    (folder / ".mempalace-toolkit-replaced.json").write_bytes(content)
    assert noted(folder) is None


# Through the commands.


def repaired(home: Sandbox, days: int = 0) -> Path:
    """Damage the palace and let the job repair it; the old index's folder, so many days older."""
    live = segment(home.palace)
    (live / "link_lists.bin").write_bytes(b"")
    answer = home.session("--json")
    assert answer.code == 0, answer
    live = segment(home.palace)  # a repair gives the index a new name
    (folder,) = (path for path in live.parent.glob(f"{live.name}.*") if noted(path) is not None)
    moment = datetime.now() - timedelta(days=days)
    older = folder.with_name(f"{live.name}.corrupt-{moment:%Y%m%d-%H%M%S}")
    if days:
        folder.rename(older)
        note_replaced(older, ["links_damaged"])
        return older
    return folder


@pytest.mark.palace
def test_a_later_clean_run_removes_what_is_beyond_the_budget_and_says_so(
    palace_home: Sandbox,
) -> None:
    palace_home.configure("quarantine_gigabytes = 0\n")
    folder = repaired(palace_home)
    assert folder.is_dir()
    foreign = folder.with_name(f"{segment(palace_home.palace).name}.drift-20240101-000000")
    shutil.copytree(segment(palace_home.palace), foreign)
    never = palace_home.session("--repair", "never", "--json")
    assert (never.code, never.json["pruned"]) == (0, [])
    assert folder.is_dir()
    answer = palace_home.session("--json")
    assert (answer.code, answer.json["status"]) == (0, "ok")
    (pruned,) = answer.json["pruned"]
    assert pruned["name"] == folder.name
    assert pruned["size"] > 100_000
    assert "links_damaged" in pruned["kinds"]
    assert not folder.exists()
    assert foreign.is_dir()
    assert palace_home.run(TOOLKIT, "check").code == 0
    assert palace_home.session("--json").json["status"] == "noop"


@pytest.mark.palace
def test_a_run_that_repairs_prunes_nothing_and_one_within_the_budget_neither(
    palace_home: Sandbox,
) -> None:
    first = repaired(palace_home, days=3)
    assert palace_home.session("--json").json["pruned"] == []
    palace_home.configure("quarantine_gigabytes = 0\n")
    (segment(palace_home.palace) / "link_lists.bin").write_bytes(b"")
    answer = palace_home.session("--json")
    assert answer.json["repairs"]
    assert answer.json["pruned"] == []
    live = segment(palace_home.palace)  # the second repair gave the first folder its name, too
    first = first.with_name(f"{live.name}.{first.name.partition('.')[2]}")
    assert first.is_dir()
    said = palace_home.session()
    assert "Removed: 2 replaced index folders" in said.out
    assert not first.exists()


@pytest.mark.palace
def test_quarantine_list_says_age_size_need_and_reason_in_80_columns(palace_home: Sandbox) -> None:
    assert "Nothing was set aside." in palace_home.run(TOOLKIT, "quarantine", "list").out
    folder = repaired(palace_home, days=3)
    live = segment(palace_home.palace)
    shutil.copytree(live, live.with_name(f"{live.name}.drift-20240101-000000"))
    before = tree_state(palace_home.home)
    shown = palace_home.run(TOOLKIT, "quarantine", "list")
    assert (shown.code, shown.err) == (0, "")
    assert max(map(len, shown.out.splitlines())) <= 80
    assert f"{folder.name}\n  3 days old, " in shown.out
    assert "not needed\n  replaced by a repair: links_damaged" in shown.out
    assert "not replaced by a repair: set aside by MemPalace, or by hand" in shown.out
    older, newer = palace_home.run(TOOLKIT, "quarantine", "list", "--json").json["quarantined"]
    assert (older["kinds"], newer["kinds"]) == (None, ["links_damaged"])
    assert newer["age_seconds"] // 86_400 == 3
    assert (newer["needed"], newer["reason"]) == (False, "corrupt")
    assert tree_state(palace_home.home) == before
    shutil.rmtree(live)
    listed = palace_home.run(TOOLKIT, "quarantine", "list", "--json").json["quarantined"]
    assert listed[1]["needed"] is True


@pytest.mark.palace
def test_restore_says_what_it_does_and_a_second_one_undoes_it(palace_home: Sandbox) -> None:
    folder = repaired(palace_home)
    before = tree_state(palace_home.palace)
    command = [TOOLKIT, "quarantine", "restore", folder.name]
    planned = palace_home.run(*command, "--dry-run", "--json")
    assert planned.json["exchanged"] is True
    assert tree_state(palace_home.palace) == before
    done = palace_home.run(*command, "--json")
    assert (done.code, done.json["as"], done.json["error"]) == (
        0, segment(palace_home.palace).name, None,
    )  # fmt: skip
    assert palace_home.run(TOOLKIT, "check").code == 65
    shown = palace_home.run(*command)
    assert (shown.code, shown.err) == (0, "")
    assert max(map(len, shown.out.splitlines())) <= 80
    assert palace_home.run(TOOLKIT, "check").code == 0
    unknown = palace_home.run(TOOLKIT, "quarantine", "restore", "no-such-folder", "--json")
    assert (unknown.code, unknown.json["error"]["kind"]) == (2, "usage")


@pytest.mark.palace
def test_prune_by_hand_shows_first_and_removes_nothing_of_a_damaged_palace(
    palace_home: Sandbox,
) -> None:
    folder = repaired(palace_home)
    (palace_home.palace / ".mempalace-toolkit.lock").unlink()
    before = tree_state(palace_home.home)
    command = [TOOLKIT, "quarantine", "prune", "--budget", "0"]
    planned = palace_home.run(*command, "--dry-run", "--json")
    assert [one["name"] for one in planned.json["pruned"]] == [folder.name]
    assert f"Would remove {folder.name}" in palace_home.run(*command, "--dry-run").out
    asked = palace_home.run(*command, "--json")
    assert (asked.code, asked.json["error"]["kind"]) == (2, "consent_needed")
    assert [one["name"] for one in asked.json["pruned"]] == [folder.name]
    assert "add --yes" in palace_home.run(*command).err
    assert tree_state(palace_home.home) == before
    assert palace_home.run(TOOLKIT, "quarantine", "prune", "--yes", "--json").json["pruned"] == []
    (palace_home.palace / ".mempalace-toolkit.lock").unlink()
    assert {**tree_state(palace_home.home), **before} == before
    broken = segment(palace_home.palace) / "link_lists.bin"
    content = broken.read_bytes()
    broken.write_bytes(b"")
    refused = palace_home.run(*command, "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (65, "damaged")
    assert folder.is_dir()
    broken.write_bytes(content)
    done = palace_home.run(*command, "--yes")
    assert (done.code, done.err) == (0, "")
    assert f"Removed {folder.name}" in done.out
    assert "0 kept, 0 of them needed." in done.out
    assert not folder.exists()
    again = palace_home.run(*command, "--json")
    assert (again.json["status"], json.loads(again.out)["kept"]) == ("noop", [])
