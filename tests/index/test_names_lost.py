"""An index whose map of ids is gone or wrong: its vectors are told apart by their order."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.index.check.check import DeepCheck, check_palace
from tests.palaces import damages_files as files
from tests.palaces import damages_values as values
from tests.palaces.making import CLOSETS, DRAWERS
from tests.palaces.opening import Seen
from tests.palaces.repairing import Model, location, repair
from tests.palaces.segment_editing import Victim, vector_rows

Damage = Callable[[Victim], None]
ALL = 311
MOST_COMPARED = 48

NAMES_LOST: list[Damage] = [
    files.pickle_deleted,
    files.pickle_emptied,
    files.pickle_cut,
    files.pickle_of_something_else,
    files.pickle_runs_code,
    files.torn_pickle_last,
    files.torn_links,
    values.map_one_sided,
    values.labels_swapped,
]


def assert_as_before(victim: Victim, before: dict[str, Seen], longer: bool = True) -> None:
    after = victim.chroma.ask(victim.palace)
    for name in (DRAWERS, CLOSETS):
        old, new = before[name], after[name]
        assert new.texts == old.texts
        assert new.reached == old.texts.keys()
        for one, was in old.vectors.items():
            now = new.vectors[one]
            if not longer:
                was, now = was / np.linalg.norm(was), now / np.linalg.norm(now)
            assert np.max(np.abs(was - now)) < 1e-6, one


def assert_all_embedded(victim: Victim, before: dict[str, Seen], home: Path) -> None:
    """The repair believes no vector that is in the index alone, and leaves what there was."""
    (done,) = repair(location(victim), check_palace(location(victim)), home).collections
    assert done.embedded == ALL
    assert_as_before(victim, before)


@pytest.mark.parametrize("damage", NAMES_LOST, ids=lambda row: row.__name__)
def test_an_index_that_lost_its_names_is_rebuilt_without_embedding_more_than_a_sample(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, damage: Damage
) -> None:
    damage(victim)
    deep = DeepCheck(embed=Model()) if damage is values.labels_swapped else None
    model = Model()
    result = repair(location(victim), check_palace(location(victim), deep), tmp_path, model)
    (done,) = result.collections
    assert (result.plan.to_embed, done.embedded) == (0, 0)
    assert done.plan.by_order > 0
    assert len(model.texts) == done.sampled <= MOST_COMPARED
    assert_as_before(victim, seen_before)


def test_an_order_that_does_not_hold_is_not_believed(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path
) -> None:
    files.pickle_deleted(victim)
    rows = vector_rows(victim.segment)
    rows[:] = rows[np.random.default_rng(2).permutation(len(rows))]
    assert_all_embedded(victim, seen_before, tmp_path)


def test_an_earlier_index_without_names_is_believed_only_about_what_it_can_know(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path
) -> None:
    """It has fewer elements than drawers were flushed since, so no order can be told."""
    files.index_of_earlier(victim)
    files.pickle_deleted(victim)
    assert_all_embedded(victim, seen_before, tmp_path)


def test_vectors_replaced_since_an_index_without_names_was_written_are_embedded_again(
    victim: Victim, tmp_path: Path
) -> None:
    """The same drawers as now, other texts: the ones touched last do not match, so no later one
    than the last that does is believed."""
    numbers = [n for n in range(240, 440) if n % 7 and n % 11 != 1]
    more = {"collection": DRAWERS, "dimension": 384}
    victim.chroma.answer("upsert", victim.palace, numbers=numbers, version=8, **more)
    victim.chroma.answer("upsert", victim.palace, numbers=numbers[:60], version=8, **more)
    older = victim.palace.with_name("older-segment")
    subprocess.run(["cp", "-a", victim.segment, older], check=True)
    victim.chroma.answer("upsert", victim.palace, numbers=numbers, version=9, **more)
    victim.chroma.answer("upsert", victim.palace, numbers=numbers[:60], version=9, **more)
    untouched = victim.palace.with_name("untouched")
    subprocess.run(["cp", "-a", victim.palace, untouched], check=True)
    before = victim.chroma.ask(untouched)
    subprocess.run(["rm", "-r", victim.segment], check=True)
    older.rename(victim.segment)
    files.pickle_deleted(victim)
    result = repair(location(victim), check_palace(location(victim)), tmp_path)
    assert sum(one.embedded for one in result.collections) > 0
    assert_as_before(victim, before)
