"""Every damage of a real palace, repaired: what clients see is what they saw before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.index.check.check import DeepCheck, check_palace
from mempalace_toolkit.index.evidence.findings import Finding, Remedy
from mempalace_toolkit.index.repair.plan import plan_repair
from tests.conftest import tree_state
from tests.palaces import damages_files as files
from tests.palaces import damages_records as records
from tests.palaces import damages_values as values
from tests.palaces.fixtures import Copy
from tests.palaces.making import CLOSETS, DRAWERS, drawer
from tests.palaces.opening import Seen, recall
from tests.palaces.repairing import Model, location, repair
from tests.palaces.segment_editing import Victim

Damage = Callable[[Victim], None]
SAMPLE = 16
SAMPLE_OF_ORDER = 120  # where the map cannot be believed: single drawers tell whose elements are
NEW = range(20000, 20030)

ALL = 311  # the drawers whose vector is in the index alone; the others' are in the queue, too

# A damage, the finding that names it, the grade of its repair, and how many drawers are embedded
# again at most: those whose vector is nowhere, or nowhere provable.
REPAIRED: list[tuple[Damage, str, Remedy, int]] = [
    (files.segment_set_aside, "segment_missing", "rebuild_segment", 0),
    (files.header_deleted, "file_missing", "rebuild_segment", 0),
    (files.links_deleted, "file_missing", "rebuild_segment", 0),
    (files.links_zeroed, "links_damaged|entry_point_invalid", "rebuild_segment", 0),
    (files.links_emptied, "links_damaged", "rebuild_segment", 0),
    (files.links_cut, "links_damaged", "rebuild_segment", 0),
    (files.links_bloated, "sparse_bloat", "rebuild_segment", 0),
    (files.level0_bloated, "sparse_bloat", "rebuild_segment", 0),
    (files.links_preallocated, "sparse_bloat", "rebuild_segment", 0),
    (values.link_target_out_of_range, "links_damaged", "rebuild_segment", 0),
    (values.link_count_out_of_range, "links_damaged", "rebuild_segment", 0),
    (values.upper_link_out_of_range, "links_damaged", "rebuild_segment", 0),
    (values.entry_point_out_of_range, "entry_point_invalid", "rebuild_segment", 0),
    (values.entry_point_too_low, "entry_point_invalid", "rebuild_segment", 0),
    (values.header_count_above_max, "header_impossible", "rebuild_segment", 0),
    (values.header_zeroed, "header_impossible", "rebuild_segment", 0),
    (values.header_cut, "header_impossible", "rebuild_segment", 0),
    (values.header_element_size_wrong, "header_impossible", "rebuild_segment", 0),
    (values.header_huge, "header_impossible", "rebuild_segment", 0),
    (records.rows_removed, "ids_ghost", "rebuild_segment", 0),
    (records.watermark_ahead_of_queue, "watermark_ahead", "rebuild_segment", 0),
    (records.watermark_ahead_of_drawers, "watermarks_disordered", "rebuild_segment", 0),
    (records.writer_killed, "hot_journal", "roll_back", 0),
    (files.lengths_deleted, "file_missing", "rebuild_segment", 0),
    (files.lengths_cut, "level0_short", "rebuild_segment", 0),
    (values.lengths_nan, "vectors_not_finite", "rebuild_segment", 0),
    (values.labels_unknown, "labels_differ", "rebuild_segment", 1),
    (values.vectors_infinite, "vectors_not_finite", "rebuild_segment", 1),
    (values.labels_repeated, "labels_repeated", "rebuild_segment", 2),
    (files.level0_page_zeroed, "labels_differ", "rebuild_segment", 4),
    (values.vectors_nan, "vectors_not_finite", "rebuild_segment", 4),
    (values.vectors_zeroed, "vectors_zero", "rebuild_segment", 5),
    (values.vectors_scaled, "vectors_not_unit", "rebuild_segment", 5),
    (values.ids_dropped, "ids_missing", "top_up", 40),
    (files.level0_cut, "level0_short", "rebuild_segment", 174),
    (files.index_of_earlier, "ids_missing", "rebuild_segment", 162),
    (files.torn_header_first, "torn_persist", "rebuild_segment", 162),
    (files.torn_pickle_last, "torn_persist", "rebuild_segment", 20),
    (files.torn_before_watermark, "torn_persist", "rebuild_segment", 162),
    (files.torn_links, "torn_persist", "rebuild_segment", 20),
    (records.queue_emptied, "sequence_reused", "rebuild_segment", 251),
    (files.segment_removed, "segment_missing", "rebuild_segment", ALL),
    (files.segment_is_a_file, "segment_missing", "rebuild_segment", ALL),
    (files.level0_deleted, "file_missing", "rebuild_segment", ALL),
    (files.level0_zeroed, "vectors_zero", "rebuild_segment", ALL),
    (files.pickle_deleted, "pickle_missing", "rebuild_segment", 0),
    (files.pickle_emptied, "pickle_unreadable", "rebuild_segment", 0),
    (files.pickle_cut, "pickle_unreadable", "rebuild_segment", 0),
    (files.pickle_of_something_else, "pickle_unreadable", "rebuild_segment", 0),
    (files.pickle_runs_code, "pickle_unreadable", "rebuild_segment", 0),
    (values.map_one_sided, "pickle_unreadable", "rebuild_segment", 0),
    (values.labels_swapped, "labels_swapped", "rebuild_segment", 0),
]
MAP_NOT_BELIEVED = {
    "pickle_missing",
    "pickle_unreadable",
    "labels_differ",
    "labels_swapped",
    "torn_persist",
}
NO_LENGTHS = (files.lengths_deleted, files.lengths_cut, values.lengths_nan)

REFUSED: list[Damage] = [
    values.header_of_other_version,
    records.database_is_garbage,
    records.database_emptied,
    records.database_of_something_else,
]


def findings_of(victim: Victim) -> tuple[Finding, ...]:
    return check_palace(location(victim))


def assert_as_before(victim: Victim, before: dict[str, Seen], longer: bool = True) -> None:
    """Every drawer of both collections: text, metadata, vector, and found by searching.

    Without `longer` the vectors' lengths may differ, but not their directions.
    """
    after = victim.chroma.ask(victim.palace)
    gone = before[DRAWERS].texts.keys() - after[DRAWERS].texts.keys()
    for name in (DRAWERS, CLOSETS):
        old, new = before[name], after[name]
        kept = old.texts.keys() - gone
        assert new.texts == {one: old.texts[one] for one in kept}
        assert new.metadatas == {one: old.metadatas[one] for one in kept}
        assert new.reached == kept
        for one in kept:
            was, now = old.vectors[one], new.vectors[one]
            if not longer:
                was, now = was / np.linalg.norm(was), now / np.linalg.norm(now)
            assert np.max(np.abs(was - now)) < 1e-6, one
        if not gone:
            assert recall(old, new) >= 0.99


def assert_alive(victim: Victim) -> None:
    """What is written after the repair is found, also when the palace is opened anew."""
    more = {"collection": DRAWERS, "numbers": [*NEW], "version": 0, "dimension": 384}
    written = victim.chroma.answer("upsert", victim.palace, **more)
    assert victim.chroma.answer("find", victim.palace, **more) == written
    assert written == [drawer(DRAWERS, number).id for number in NEW]
    assert [one for one in findings_of(victim) if not one.harmless] == []


def assert_mempalace_agrees(victim: Victim, before: dict[str, Seen], rebuilt: bool) -> None:
    """`mempalace repair-status` counts every drawer, and finds nothing diverged."""
    said = victim.chroma.answer("repair_status", victim.palace)
    for kind in ("drawers", "closets"):
        assert (said[kind]["status"], said[kind]["diverged"]) == ("ok", False), said
    assert said["closets"]["sqlite_count"] == len(before[CLOSETS].texts)
    if rebuilt:
        assert said["drawers"]["hnsw_count"] == said["drawers"]["sqlite_count"]


@pytest.mark.parametrize(
    ("damage", "kind", "grade", "embeds"), REPAIRED, ids=[row[0].__name__ for row in REPAIRED]
)
def test_a_damage_is_found_planned_and_repaired_and_no_client_sees_a_difference(
    victim: Victim,
    seen_before: dict[str, Seen],
    tmp_path: Path,
    damage: Damage,
    kind: str,
    grade: Remedy,
    embeds: int,
) -> None:
    damage(victim)
    deep = DeepCheck(embed=Model()) if damage is values.labels_swapped else None
    findings = check_palace(location(victim), deep)
    assert set(kind.split("|")) & {finding.kind for finding in findings}
    assert plan_repair(location(victim), findings).grade == grade
    model = Model()
    result = repair(location(victim), findings, tmp_path, model)
    embedded = sum(one.embedded for one in result.collections)
    sampled = [one.sampled for one in result.collections]
    assert embedded <= embeds
    assert len(model.texts) == embedded + sum(sampled)
    most = SAMPLE_OF_ORDER if kind in MAP_NOT_BELIEVED else SAMPLE
    assert max(sampled, default=0) <= most
    assert_as_before(victim, seen_before, longer=damage not in NO_LENGTHS)
    assert_mempalace_agrees(victim, seen_before, rebuilt=grade == "rebuild_segment")
    assert_alive(victim)


def test_writes_under_reused_numbers_end_with_the_repair_and_take_no_drawer_along(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path
) -> None:
    records.queue_emptied_and_written(victim)
    repair(location(victim), findings_of(victim), tmp_path)
    after = victim.chroma.ask(victim.palace)
    for name in (DRAWERS, CLOSETS):
        assert after[name].texts.items() >= seen_before[name].texts.items()
        assert after[name].reached == after[name].texts.keys()
    assert_alive(victim)


@pytest.mark.parametrize("damage", REFUSED, ids=lambda row: row.__name__)
def test_what_cannot_be_repaired_safely_is_refused_untouched(
    victim: Victim, damage: Damage
) -> None:
    damage(victim)
    before = tree_state(victim.palace)
    plan = plan_repair(location(victim), check_palace(location(victim)))
    assert plan.grade == "refuse"
    assert plan.refusal
    assert tree_state(victim.palace) == before


def test_a_sound_palace_needs_nothing(palace: Copy) -> None:
    sound = palace("usual")
    before = tree_state(sound.path)
    assert plan_repair(sound, check_palace(sound)).grade == "nothing"
    assert tree_state(sound.path) == before
