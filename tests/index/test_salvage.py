"""Which vectors are believed: from where, on what proof, and which are not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.chroma.records import CollectionRecord, read_records
from mempalace_toolkit.index.salvage.salvage import salvage
from mempalace_toolkit.index.salvage.salvaged import Origin, Salvage
from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces import damages_files as files
from tests.palaces import damages_values as values
from tests.palaces.fixtures import Copy
from tests.palaces.making import DRAWERS, SHAPES, embed, truth
from tests.palaces.opening import Chroma
from tests.palaces.segment_editing import Victim

Damage = Callable[[Victim], None]


def record_of(palace: Path, name: str = DRAWERS) -> CollectionRecord:
    records = read_records(PalaceLocation(palace, "chroma", "minilm"))
    return next(one for one in records.collections if one.name == name)


def salvaged(palace: Path, name: str = DRAWERS) -> Salvage:
    return salvage(palace, record_of(palace, name))


def wrong_vectors(found: Salvage, shape: str, name: str = DRAWERS) -> int:
    """How many salvaged vectors are not those of the drawers' texts."""
    places = np.flatnonzero(found.origin != Origin.NOWHERE)
    if not len(places):
        return 0
    texts = truth(SHAPES[shape])[name]
    true = embed([texts[found.record.ids[place]].text for place in places], found.dimension)
    return int(np.count_nonzero(np.abs(found.vectors(places) - true).max(axis=1) > 1e-6))


def counts(found: Salvage) -> tuple[int, int, int, int]:
    return (
        found.count(Origin.QUEUE),
        found.count(Origin.LIVE),
        found.count(Origin.QUARANTINED),
        found.count(Origin.NOWHERE),
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_every_vector_of_a_sound_palace_is_found_and_right(palace: Copy, shape: str) -> None:
    folder = palace(shape).path
    for name in SHAPES[shape].sizes:
        found = salvaged(folder, name)
        assert not len(found.missing())
        assert wrong_vectors(found, shape, name) == 0
        blocks = [(len(ids), len(rows)) for ids, rows in found.blocks(100)]
        assert all(ids == rows for ids, rows in blocks)
        assert sum(ids for ids, _ in blocks) == len(found.record.ids)


@pytest.mark.parametrize(
    "damage",
    [
        files.segment_set_aside,
        files.links_zeroed,
        files.index_of_earlier,
        files.level0_cut,
        files.level0_page_zeroed,
        files.pickle_deleted,
        values.vectors_nan,
        values.labels_repeated,
        values.labels_unknown,
        values.ids_dropped,
    ],
)
def test_whatever_is_believed_after_a_damage_is_right(victim: Victim, damage: Damage) -> None:
    damage(victim)
    assert wrong_vectors(salvaged(victim.palace), "usual") == 0


def test_the_queue_comes_first_then_the_index_then_what_was_set_aside(victim: Victim) -> None:
    queue, live, quarantined, nowhere = counts(salvaged(victim.palace))
    assert queue > 0
    assert live > 0
    assert (quarantined, nowhere) == (0, 0)
    files.segment_set_aside(victim)
    assert counts(salvaged(victim.palace)) == (queue, 0, live, 0)


def test_a_stub_that_chromadb_makes_of_a_lost_index_does_not_hide_the_old_one(
    victim: Victim,
) -> None:
    files.segment_set_aside(victim)
    victim.chroma.request(
        "find", victim.palace, collection=DRAWERS, numbers=[1], version=0, dimension=384
    )
    assert victim.segment.is_dir()
    found = salvaged(victim.palace)
    assert not len(found.missing())
    assert wrong_vectors(found, "usual") == 0


def replace_until_flushed(victim: Victim, version: int) -> set[str]:
    """Replace drawers' texts in place until the index is flushed; no drawer is added."""
    numbers = [n for n in range(240, 440) if n % 7 and n % 11 != 1]
    more = {"collection": DRAWERS, "version": version, "dimension": 384}
    before = record_of(victim.palace).vector_watermark
    replaced = victim.chroma.answer("upsert", victim.palace, numbers=numbers, **more)
    victim.chroma.answer("upsert", victim.palace, numbers=numbers[:60], **more)
    assert record_of(victim.palace).vector_watermark != before
    return set(replaced)


@pytest.fixture
def replaced(victim: Victim) -> set[str]:
    """Drawers replaced since the index was copied to `old`, which has all drawers there are."""
    replace_until_flushed(victim, 8)
    subprocess.run(["cp", "-a", victim.segment, victim.palace.with_name("old")], check=True)
    replaced = replace_until_flushed(victim, 9)
    shutil.rmtree(victim.segment)
    return replaced


@pytest.mark.parametrize("queue_kept", [True, False])
def test_an_index_set_aside_long_ago_is_not_believed_about_what_was_replaced_since(
    victim: Victim, replaced: set[str], queue_kept: bool
) -> None:
    aside = victim.segment.with_name(f"{victim.segment.name}.drift-20250101-000000")
    victim.palace.with_name("old").rename(aside)
    record = record_of(victim.palace)
    found = salvage(victim.palace, record if queue_kept else replace(record, queue=()))
    believed = np.flatnonzero(found.origin == Origin.QUARANTINED)
    assert len(believed)
    assert not replaced & {record.ids[place] for place in believed}


def test_an_older_index_in_the_live_place_is_not_believed_about_what_was_replaced_since(
    victim: Victim, replaced: set[str]
) -> None:
    victim.palace.with_name("old").rename(victim.segment)
    found = salvaged(victim.palace)
    believed = np.flatnonzero(found.origin == Origin.LIVE)
    assert len(believed)
    assert not replaced & {found.record.ids[place] for place in believed}


def test_a_vector_that_is_not_finite_is_not_believed_in_any_space(
    palace: Copy, made: Callable[[str], Path], chroma: Chroma
) -> None:
    victim = Victim(palace("l2").path, made("usual_earlier"), chroma)
    values.vectors_nan(victim)
    found = salvaged(victim.palace)
    assert len(found.missing())
    assert wrong_vectors(found, "l2") == 0


def test_a_queue_entry_of_another_time_is_not_believed(palace: Copy) -> None:
    record = record_of(palace("usual").path)
    places = {one: place for place, one in enumerate(record.ids)}
    entry = next(one for one in record.queue if one.vector and one.id in places)
    place = places[entry.id]
    last = max(one.sequence for one in record.queue if one.id == entry.id)
    sequences = record.sequences.copy()
    for sequence, believed in ((last, True), (last + 1, False)):
        sequences[place] = sequence
        found = salvage(Path("nowhere"), replace(record, sequences=sequences))
        assert (place in found.queued) is believed


def test_a_lost_map_is_rewritten_by_rank_only_where_the_queue_confirms_it(
    palace: Copy,
) -> None:
    folder = palace("no_tail_deletes").path
    record = record_of(folder)
    (folder / record.vector_segment / "index_metadata.pickle").unlink()
    found = salvage(folder, record)
    assert not len(found.missing())
    assert wrong_vectors(found, "no_tail_deletes") == 0
    watermark = record.vector_watermark or 0
    tail = tuple(one for one in record.queue if one.sequence > watermark)
    assert salvage(folder, replace(record, queue=tail)).count(Origin.LIVE) == 0
    other = embed(["something else"], 384).tobytes()
    lying = tuple(replace(one, vector=one.vector and other) for one in record.queue)
    assert salvage(folder, replace(record, queue=lying)).count(Origin.LIVE) == 0


def test_a_lost_map_is_not_rewritten_while_a_delete_is_pending(victim: Victim) -> None:
    files.pickle_deleted(victim)
    assert salvaged(victim.palace).count(Origin.LIVE) == 0


def test_without_a_known_length_a_vector_keeps_its_direction(victim: Victim) -> None:
    (victim.segment / "length.bin").unlink()
    found = salvaged(victim.palace)
    place = int(np.flatnonzero(found.origin == Origin.LIVE)[0])
    row = found.vectors(np.array([place]))[0].astype(np.float64)
    text = truth(SHAPES["usual"])[DRAWERS][found.record.ids[place]].text
    true = embed([text], 384)[0].astype(np.float64)
    assert abs(np.linalg.norm(row) - 1) < 1e-5
    assert row @ true / np.linalg.norm(true) > 0.999999
