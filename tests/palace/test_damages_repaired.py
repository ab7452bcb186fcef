"""Every damage of a real palace, repaired: what clients see is what they saw before it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import damages_files as files
import damages_records as records
import damages_values as values
import numpy as np
import pytest
from conftest import Copy
from making import CLOSETS, DRAWERS, drawer
from opening import Chroma, Seen, recall
from repairing import Model, repair
from segment_editing import Victim

from mempalace_toolkit.palace.check import DeepCheck, check_palace
from mempalace_toolkit.palace.findings import Finding
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.plan import plan_repair
from tests.conftest import tree_state

Damage = Callable[[Victim], None]
SAMPLE = 16
NEW = range(20000, 20030)

# All vectors survive these, in the queue, the index, or an index that was set aside.
NOTHING_LOST: list[Damage] = [
    files.segment_set_aside,
    files.header_deleted,
    files.links_deleted,
    files.links_zeroed,
    files.links_emptied,
    files.links_cut,
    files.links_bloated,
    files.level0_bloated,
    values.link_target_out_of_range,
    values.link_count_out_of_range,
    values.upper_link_out_of_range,
    values.entry_point_out_of_range,
    values.entry_point_too_low,
    values.header_count_above_max,
    values.header_zeroed,
    values.header_cut,
    values.header_element_size_wrong,
    values.header_huge,
    records.rows_removed,
    records.watermark_ahead_of_queue,
    records.watermark_ahead_of_drawers,
    records.writer_killed,
    values.labels_unknown,
]

# Some vectors are gone, all of them or those of the damaged elements: these are embedded again.
SOME_LOST: list[Damage] = [
    files.segment_removed,
    files.segment_is_a_file,
    files.level0_deleted,
    files.level0_cut,
    files.level0_zeroed,
    files.level0_page_zeroed,
    files.lengths_deleted,
    files.lengths_cut,
    files.index_of_earlier,
    files.torn_header_first,
    files.torn_pickle_last,
    files.torn_before_watermark,
    files.torn_links,
    records.queue_emptied,
    files.pickle_deleted,
    files.pickle_emptied,
    files.pickle_cut,
    files.pickle_of_something_else,
    files.pickle_runs_code,
    values.lengths_nan,
    values.vectors_nan,
    values.vectors_infinite,
    values.vectors_zeroed,
    values.vectors_scaled,
    values.labels_repeated,
    values.ids_dropped,
    values.map_one_sided,
    values.labels_swapped,
]
# Of these one vector is there, but only by elimination, or without the word of its operation.
UNPROVEN = {
    records.watermark_ahead_of_queue: 1,
    records.watermark_ahead_of_drawers: 1,
    values.labels_unknown: 1,
}
# Of these no more are embedded than elements were damaged.
AT_MOST = {
    files.level0_page_zeroed: 4,
    files.level0_cut: 174,
    files.lengths_deleted: 0,
    files.lengths_cut: 0,
    values.lengths_nan: 0,
    values.vectors_nan: 4,
    values.vectors_infinite: 1,
    values.vectors_zeroed: 5,
    values.vectors_scaled: 5,
    values.labels_repeated: 2,
    values.ids_dropped: 40,
}
NO_LENGTHS = (files.lengths_deleted, files.lengths_cut, values.lengths_nan)

REFUSED: list[Damage] = [
    values.header_of_other_version,
    records.database_is_garbage,
    records.database_cut,
    records.database_emptied,
    records.database_of_something_else,
]


@pytest.fixture
def victim(palace: Copy, made: Callable[[str], Path], chroma: Chroma) -> Victim:
    """A copy of the usual palace, to damage."""
    return Victim(palace("usual").path, made("usual_earlier"), chroma)


@pytest.fixture
def seen_before(chroma: Chroma, victim: Victim) -> dict[str, Seen]:
    """What clients see of the palace before it is damaged."""
    untouched = victim.palace.with_name("untouched")
    subprocess.run(["cp", "-a", victim.palace, untouched], check=True)
    return chroma.ask(untouched)


def location(victim: Victim) -> PalaceLocation:
    return PalaceLocation(victim.palace, "chroma", "minilm")


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


@pytest.mark.parametrize("damage", NOTHING_LOST, ids=lambda row: row.__name__)
def test_a_damage_that_leaves_the_vectors_is_repaired_without_embedding(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, damage: Damage
) -> None:
    damage(victim)
    model = Model()
    result = repair(location(victim), findings_of(victim), tmp_path, model)
    assert result.plan.to_embed <= UNPROVEN.get(damage, 0), result.plan
    assert len(model.texts) <= SAMPLE * 2
    assert_as_before(victim, seen_before)
    assert_alive(victim)


@pytest.mark.parametrize("damage", SOME_LOST, ids=lambda row: row.__name__)
def test_a_damage_that_takes_vectors_is_repaired_by_embedding_those(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, damage: Damage
) -> None:
    damage(victim)
    deep = DeepCheck(embed=Model()) if damage is values.labels_swapped else None
    result = repair(location(victim), check_palace(location(victim), deep), tmp_path)
    drawers = len(seen_before[DRAWERS].texts) + len(seen_before[CLOSETS].texts)
    assert result.plan.to_embed <= AT_MOST.get(damage, drawers)
    assert_as_before(victim, seen_before, longer=damage not in NO_LENGTHS)
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
