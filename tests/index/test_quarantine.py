"""Setting segments aside and back: only on proof, without collision, without loss."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.errors import UsageError
from mempalace_toolkit.files import exchange as exchanging
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.quarantine.folders import (
    aside_name,
    list_quarantined,
    restore,
    set_aside,
)
from mempalace_toolkit.index.repair import restoring
from mempalace_toolkit.index.repair.plan import needed_folders
from mempalace_toolkit.index.repair.pruning import plan_prune
from mempalace_toolkit.index.repair.replacement import NOTE, finish_replacements
from mempalace_toolkit.index.repair.restoring import restore_index
from mempalace_toolkit.index.stale import quarantine_stale_hnsw
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces import damages_files as files
from tests.palaces import damages_records as records
from tests.palaces import damages_values as values
from tests.palaces.fixtures import Copy
from tests.palaces.making import DRAWERS
from tests.palaces.opening import Chroma
from tests.palaces.repairing import location
from tests.palaces.segment_editing import Victim

Damage = Callable[[Victim], None]
NAME = re.compile(r"[0-9a-f-]{36}\.drift-\d{8}-\d{6}")
HOUR = 3600.0


def age(victim: Victim, seconds: float) -> None:
    """Make the segment's files so much older than the database."""
    moment = (victim.palace / "chroma.sqlite3").stat().st_mtime - seconds
    for file in victim.segment.iterdir():
        os.utime(file, (moment, moment))


@pytest.mark.parametrize(
    ("damage", "lag", "moved"),
    [
        (files.links_zeroed, 0.0, True),
        (values.header_count_above_max, 0.0, True),
        (files.pickle_deleted, 0.0, True),
        (files.level0_cut, 2 * HOUR, True),
        (values.ids_dropped, 2 * HOUR, True),
        (values.ids_dropped, 0.0, False),
        (values.vectors_nan, 2 * HOUR, False),
        (records.only_the_clock, 2 * HOUR, False),
        (lambda victim: None, 1000 * HOUR, False),
        (records.stray_segment, 2 * HOUR, False),
    ],
)
def test_a_segment_is_set_aside_on_proof_and_never_for_its_mtime_alone(
    victim: Victim, damage: Damage, lag: float, moved: bool, caplog: pytest.LogCaptureFixture
) -> None:
    damage(victim)
    age(victim, lag)
    before = tree_state(victim.palace)
    with caplog.at_level(logging.INFO):
        paths = quarantine_stale_hnsw(str(victim.palace))
    if not moved:
        assert paths == []
        assert tree_state(victim.palace) == before
        return
    (path,) = paths
    assert NAME.fullmatch(Path(path).name)
    assert Path(path).name.startswith(victim.segment.name)
    assert tree_state(Path(path)) == {
        name.removeprefix(f"{victim.segment.name}/"): state
        for name, state in before.items()
        if name.startswith(f"{victim.segment.name}/")
    }
    assert f"older than its database by {lag:.0f} s" in caplog.text
    assert quarantine_stale_hnsw(str(victim.palace)) == []


def test_stale_seconds_says_from_when_a_lagging_index_is_set_aside(victim: Victim) -> None:
    values.ids_dropped(victim)
    age(victim, 120)
    assert quarantine_stale_hnsw(str(victim.palace), stale_seconds=180) == []
    assert len(quarantine_stale_hnsw(str(victim.palace), stale_seconds=60)) == 1


def test_where_there_is_no_palace_nothing_is_set_aside_or_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert quarantine_stale_hnsw(str(tmp_path / "missing")) == []
    assert quarantine_stale_hnsw(str(tmp_path / "empty")) == []
    assert not (tmp_path / "missing").exists()


def test_a_segment_set_aside_twice_in_one_second_gets_two_names(victim: Victim) -> None:
    first = set_aside(victim.segment, "drift", "20250701-235959")
    victim.segment.mkdir()
    second = set_aside(victim.segment, "drift", "20250701-235959")
    assert second.name.endswith(".drift-20250702-000000")
    assert first.is_dir()


@pytest.mark.parametrize("shape", ["usual", "tiny", "three_collections"])
def test_quarantine_and_restore_is_identity(palace: Copy, shape: str) -> None:
    folder = palace(shape).path
    before = tree_state(folder)
    segments = [path for path in folder.iterdir() if path.is_dir()]
    aside = [set_aside(path, "corrupt", "20250701-120000") for path in segments]
    assert [one.folder for one in list_quarantined(folder)] == sorted(aside)
    assert [restore(folder, path.name) for path in aside] == segments
    assert tree_state(folder) == before


def test_restoring_over_a_live_segment_exchanges_the_two_and_back(victim: Victim) -> None:
    aside = set_aside(victim.segment, "drift", "20250701-120000")
    victim.segment.mkdir()
    (victim.segment / "header.bin").write_bytes(b"stub")
    before = tree_state(victim.palace)
    restore(victim.palace, aside.name)
    assert (aside / "header.bin").read_bytes() == b"stub"
    assert (victim.segment / "index_metadata.pickle").exists()
    restore(victim.palace, aside.name)
    assert tree_state(victim.palace) == before


def test_an_index_that_is_given_back_has_an_id_of_its_own_and_a_second_call_undoes_it(
    victim: Victim, chroma: Chroma
) -> None:
    before = chroma.ask(victim.palace)
    place = location(victim)
    aside = victim.segment.with_name(f"{victim.segment.name}.drift-20250701-120000")
    shutil.copytree(victim.older_segment, aside)
    other = victim.segment.with_name(f"{victim.segment.name}.corrupt-20250601-120000")
    shutil.copytree(victim.older_segment, other)
    held = {path: tree_state(path) for path in (victim.segment, aside, other)}
    old = victim.segment
    fresh = restore_index(place, aside.name)
    assert fresh == victim.segment != old
    assert tree_state(fresh) == held[aside]
    assert not old.exists()
    assert tree_state(fresh.with_name(f"{fresh.name}.drift-20250701-120000")) == held[old]
    assert {one.segment for one in list_quarantined(victim.palace)} == {fresh.name}
    again = restore_index(place, aside.name)  # by the name that it had
    assert tree_state(again) == held[old]
    assert len(list_quarantined(victim.palace)) == 2
    assert all(one.harmless for one in check_palace(place))
    assert chroma.ask(victim.palace)[DRAWERS].texts == before[DRAWERS].texts


@pytest.mark.parametrize("step", ["noted", "renamed", "switched", "half set aside"])
def test_a_kill_while_an_index_is_given_back_leaves_both(
    victim: Victim, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place, old = location(victim), victim.segment
    aside = old.with_name(f"{old.name}.drift-20250701-120000")
    shutil.copytree(victim.older_segment, aside)
    held = sorted(map(_content, (old, aside)))

    def killed(*_: object) -> None:
        os._exit(9)

    names = {"renamed": "replace_segment", "switched": "rename_aside"}
    child = os.fork()
    if not child:
        if step == "noted":
            monkeypatch.setattr(Path, "rename", killed)
        elif step == "half set aside":
            real = Path.rename
            monkeypatch.setattr(
                Path, "rename", lambda one, to: real(one, to) if one == aside else killed()
            )
        else:
            monkeypatch.setattr(restoring, names[step], killed)
        restore_index(place, aside.name)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    finish_replacements(place)
    (kept,) = list_quarantined(victim.palace)
    assert kept.segment == victim.segment.name
    assert sorted(map(_content, (victim.segment, kept.folder))) == held


def _content(folder: Path) -> list[tuple[str, bytes]]:
    files = (one for one in folder.iterdir() if one.name != NOTE)
    return sorted((one.name, one.read_bytes()) for one in files)


@pytest.mark.parametrize("name", ["", "..", "x.drift-20250701-120000", "../etc", "chroma.sqlite3"])
def test_only_a_quarantined_segment_can_be_restored(victim: Victim, name: str) -> None:
    with pytest.raises(UsageError, match="no quarantined segment"):
        restore(victim.palace, name)


def test_what_mempalace_set_aside_is_listed_and_what_is_not_a_quarantine_is_not(
    victim: Victim,
) -> None:
    for suffix in ("drift-20250101-000000", "corrupt-20241231-235959", "bak", "drift-soon"):
        (victim.palace / f"{victim.segment.name}.{suffix}").mkdir()
    found = list_quarantined(victim.palace)
    assert [(one.reason, one.stamp) for one in found] == [
        ("corrupt", "20241231-235959"),
        ("drift", "20250101-000000"),
        ("drift", "soon"),
    ]
    assert [one.moment() is None for one in found] == [False, False, True]
    findings = check_palace(location(victim))
    told = {one.segment for one in findings if one.kind == "segment_quarantined"}
    assert told == {one.folder.name for one in found}
    assert list_quarantined(victim.palace / "nowhere") == ()


def test_pruning_takes_the_oldest_until_the_budget_holds_and_keeps_what_is_needed(
    victim: Victim,
) -> None:
    for day in (1, 2, 3):
        folder = victim.palace / f"{victim.segment.name}.drift-2025010{day}-000000"
        folder.mkdir()
        (folder / "data_level0.bin").write_bytes(b"x" * 40_960)
    oldest, second, newest = list_quarantined(victim.palace)
    budget = newest.size
    every = (newest, second, oldest)
    assert plan_prune(every, frozenset(), 3 * budget).remove == ()
    assert plan_prune(every, frozenset(), budget).remove == (oldest, second)
    planned = plan_prune(every, frozenset({oldest.folder}), budget)
    assert (planned.remove, planned.needed, planned.kept) == (
        (second, newest),
        (oldest,),
        (oldest,),
    )


def test_a_sparse_file_counts_what_it_takes(victim: Victim) -> None:
    files.links_bloated(victim)
    set_aside(victim.segment, "corrupt", "20250701-120000")
    (one,) = list_quarantined(victim.palace)
    assert one.size < 10_000_000


def test_a_folder_is_needed_only_while_it_holds_the_only_proven_copy(victim: Victim) -> None:
    palace = PalaceLocation(victim.palace, "chroma", "minilm")
    files.segment_set_aside(victim)
    (one,) = list_quarantined(victim.palace)
    assert needed_folders(palace) == {one.folder}
    restore(victim.palace, one.folder.name)
    assert needed_folders(palace) == frozenset()


def test_an_exchange_falls_back_to_renames_and_undoes_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(first: Path, second: Path) -> None:
        raise OSError(22, "not here")

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    monkeypatch.setattr(exchanging, "_exchange_at_once", unsupported)
    exchanging.exchange(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one" / "two").exists()
    assert (tmp_path / "two" / "one").exists()
    with pytest.raises(OSError, match="No such file"):
        exchanging.exchange(tmp_path / "one", tmp_path / "three")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_free_name_is_the_moment_itself(tmp_path: Path) -> None:
    now = time.strftime("%Y%m%d-%H%M%S")
    assert aside_name(tmp_path / "a", "drift", now).name == f"a.drift-{now}"
