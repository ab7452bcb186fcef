"""Every damage of a real palace: what the check finds, and that sound palaces have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.index.check.check import DeepCheck, check_palace
from tests.conftest import tree_state
from tests.palaces import damages_files as files
from tests.palaces import damages_records as records
from tests.palaces import damages_values as values
from tests.palaces.fixtures import Copy
from tests.palaces.making import DRAWERS, SHAPES, embed
from tests.palaces.repairing import agreed_plan, location
from tests.palaces.segment_editing import Victim

Damage = Callable[[Victim], None]

# Of each line of kinds one must be found; `|` stands between those that say the same.
DAMAGES: list[tuple[Damage, tuple[str, ...]]] = [
    (files.segment_set_aside, ("segment_missing", "segment_quarantined")),
    (files.segment_removed, ("segment_missing",)),
    (files.segment_is_a_file, ("segment_missing",)),
    (files.pickle_deleted, ("pickle_missing",)),
    (files.pickle_emptied, ("pickle_unreadable",)),
    (files.pickle_cut, ("pickle_unreadable",)),
    (files.pickle_of_something_else, ("pickle_unreadable",)),
    (files.pickle_runs_code, ("pickle_unreadable|unknown_format",)),
    (files.header_deleted, ("file_missing",)),
    (files.level0_deleted, ("file_missing",)),
    (files.links_deleted, ("file_missing",)),
    (files.lengths_deleted, ("file_missing",)),
    (files.level0_cut, ("level0_short",)),
    (files.level0_zeroed, ("vectors_zero", "labels_differ|labels_repeated")),
    (files.level0_page_zeroed, ("labels_differ",)),
    (files.links_zeroed, ("links_damaged|entry_point_invalid",)),
    (files.links_emptied, ("links_damaged",)),
    (files.links_cut, ("links_damaged",)),
    (files.lengths_cut, ("level0_short|torn_persist",)),
    (values.lengths_nan, ("vectors_not_finite",)),
    (files.links_bloated, ("sparse_bloat",)),
    (files.level0_bloated, ("sparse_bloat",)),
    (files.links_preallocated, ("sparse_bloat",)),
    (files.index_of_earlier, ("ids_missing|torn_persist",)),
    (files.torn_header_first, ("torn_persist|level0_short",)),
    (files.torn_pickle_last, ("torn_persist|labels_differ",)),
    (files.torn_links, ("torn_persist|links_damaged",)),
    (files.torn_before_watermark, ("torn_persist|level0_short",)),
    (values.link_target_out_of_range, ("links_damaged",)),
    (values.link_count_out_of_range, ("links_damaged",)),
    (values.upper_link_out_of_range, ("links_damaged",)),
    (values.entry_point_out_of_range, ("entry_point_invalid",)),
    (values.entry_point_too_low, ("entry_point_invalid",)),
    (values.header_count_above_max, ("header_impossible",)),
    (values.header_zeroed, ("header_impossible",)),
    (values.header_cut, ("header_impossible",)),
    (values.header_element_size_wrong, ("header_impossible",)),
    (values.header_huge, ("header_impossible",)),
    (values.header_of_other_version, ("unknown_format",)),
    (values.vectors_nan, ("vectors_not_finite",)),
    (values.vectors_infinite, ("vectors_not_finite",)),
    (values.vectors_zeroed, ("vectors_zero",)),
    (values.vectors_scaled, ("vectors_not_unit",)),
    (values.labels_repeated, ("labels_repeated",)),
    (values.labels_unknown, ("labels_differ",)),
    (values.ids_dropped, ("ids_missing",)),
    (values.map_one_sided, ("pickle_unreadable|labels_differ",)),
    (records.rows_removed, ("ids_ghost",)),
    (records.queue_emptied, ("sequence_reused|watermark_ahead",)),
    (records.queue_emptied_and_written, ("sequence_reused|watermark_ahead",)),
    (records.watermark_ahead_of_queue, ("watermark_ahead",)),
    (records.watermark_ahead_of_drawers, ("watermarks_disordered",)),
    (records.writer_killed, ("hot_journal",)),
    (records.database_is_garbage, ("sqlite_unreadable",)),
    (records.database_cut, ("sqlite_unreadable",)),
    (records.database_emptied, ("sqlite_unreadable|unknown_format",)),
    (records.database_of_something_else, ("sqlite_unreadable|unknown_format",)),
]

OF_ALL_COLLECTIONS = (records.queue_emptied, records.queue_emptied_and_written)

HARMLESS: list[tuple[Damage, tuple[str, ...]]] = [
    (files.pickle_written_by_another_pickler, ()),
    (records.stray_segment, ("segment_stray",)),
    (records.earlier_quarantines, ("segment_quarantined",)),
    (records.only_the_clock, ()),
    (records.closets_written_after, ()),
]


def _name(row: object) -> str:
    return getattr(row, "__name__", "").replace("<lambda>", "file_deleted")


@pytest.mark.parametrize(("damage", "kinds"), DAMAGES, ids=_name)
def test_a_damage_is_found_and_nothing_is_written(
    victim: Victim, damage: Damage, kinds: tuple[str, ...]
) -> None:
    damage(victim)
    sparse = damage in (files.links_bloated, files.level0_bloated)
    before = _stats(victim.palace) if sparse else tree_state(victim.palace)
    findings = check_palace(location(victim))
    found = {finding.kind for finding in findings}
    for line in kinds:
        assert found & set(line.split("|")), findings
    assert any(not finding.harmless for finding in findings)
    agreed_plan(location(victim), findings)
    if damage not in OF_ALL_COLLECTIONS:
        assert {finding.collection for finding in findings} <= {"", DRAWERS}, findings
    assert (_stats(victim.palace) if sparse else tree_state(victim.palace)) == before
    assert not (victim.palace / "pickle-was-run").exists()


def _stats(folder: Path) -> dict[str, tuple[int, int]]:
    paths = sorted(folder.rglob("*"))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


@pytest.mark.parametrize(("change", "kinds"), HARMLESS, ids=_name)
def test_what_is_no_damage_is_told_as_harmless_or_not_at_all(
    victim: Victim, change: Damage, kinds: tuple[str, ...]
) -> None:
    change(victim)
    before = tree_state(victim.palace)
    findings = check_palace(location(victim))
    assert [finding for finding in findings if not finding.harmless] == []
    assert agreed_plan(location(victim), findings).grade == "nothing"
    assert {finding.kind for finding in findings} == set(kinds)
    assert tree_state(victim.palace) == before


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sound_palace_has_no_finding_and_is_only_read(palace: Copy, shape: str) -> None:
    sound = palace(shape)
    before = tree_state(sound.path)
    model = DeepCheck(embed=lambda texts: embed(list(texts), SHAPES[shape].dimension))
    assert check_palace(sound) == ()
    assert check_palace(sound, model) == ()
    assert tree_state(sound.path) == before


def test_swapped_labels_show_to_the_deep_check_and_where_the_queue_tells(victim: Victim) -> None:
    values.labels_swapped(victim)
    model = DeepCheck(embed=lambda texts: embed(list(texts), 384))
    assert {finding.kind for finding in check_palace(location(victim))} <= {"vectors_outdated"}
    assert "labels_swapped" in {finding.kind for finding in check_palace(location(victim), model)}


@pytest.mark.parametrize("damage", [values.vectors_nan, values.vectors_zeroed], ids=_name)
def test_the_deep_check_takes_no_damaged_vector_for_a_swapped_one(
    victim: Victim, damage: Damage
) -> None:
    damage(victim)
    model = DeepCheck(embed=lambda texts: embed(list(texts), 384), sample=400)
    kinds = {finding.kind for finding in check_palace(location(victim), model)}
    assert "labels_swapped" not in kinds
