"""A client may file drawers with some metadata only: that is no damage, and nothing is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.check.report import check_index
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.palace.location import PalaceLocation


def test_drawers_without_a_room_are_no_damage_and_those_without_any_metadata_are(
    palace: Callable[[str], PalaceLocation],
) -> None:
    place = palace("usual")
    with sqlite3.connect(place.database) as database:
        database.execute(
            "delete from embedding_metadata where key in ('room', 'source_file') and id % 5 = 0"
        )
    database.close()
    assert [one for one in check_palace(place) if not one.harmless] == []
    with sqlite3.connect(place.database) as database:
        database.execute(
            "delete from embedding_metadata where key != 'chroma:document' and id % 5 = 0"
        )
    database.close()
    assert "metadata_missing" in {one.kind for one in check_palace(place)}


def test_a_mined_drawer_without_its_wing_lost_it(palace: Callable[[str], PalaceLocation]) -> None:
    place = palace("usual")
    with sqlite3.connect(place.database) as database:
        database.execute(
            "insert or ignore into embedding_metadata (id, key, string_value)"
            " select id, 'source_file', 'a.jsonl' from embeddings"
        )
    assert [one for one in check_palace(place) if not one.harmless] == []
    with sqlite3.connect(place.database) as database:
        database.execute("delete from embedding_metadata where key = 'wing' and id % 5 = 0")
    database.close()
    assert {one.kind for one in check_palace(place)} >= {"metadata_missing"}


@pytest.mark.parametrize("kept", ["chroma:document", "nothing"])
def test_a_palace_of_which_all_metadata_are_gone_is_damaged_and_the_loss_is_told(
    palace: Callable[[str], PalaceLocation], kept: str
) -> None:
    place = palace("usual")
    with sqlite3.connect(place.database) as database:
        database.execute("delete from embedding_metadata where key != ?", [kept])
    database.close()
    report = check_index(place)
    assert "metadata_missing" in {one.kind for one in report.findings}
    plan = plan_repair(place, report.findings, report.fingerprint)
    assert plan.database is not None
    assert "metadata of" in plan.database.line()


@pytest.mark.parametrize(
    ("change", "is_lost"),
    [
        ("float_value = coalesce(float_value, '')", False),
        ("string_value = cast(string_value as blob)", False),
        ("string_value = x'ff'", True),
        ("string_value = null", True),
    ],
)
def test_a_value_that_can_be_read_in_spite_of_its_damage_is_kept(
    palace: Callable[[str], PalaceLocation], change: str, is_lost: bool
) -> None:
    place = palace("usual")
    with sqlite3.connect(place.database) as database:
        old = "id in (select id from embeddings order by seq_id limit 9)"  # not in the queue
        database.execute(f"update embedding_metadata set {change} where {old}")
    database.close()
    report = check_index(place)
    assert "metadata_damaged" in {one.kind for one in report.findings}
    plan = plan_repair(place, report.findings, report.fingerprint)
    assert plan.database is not None
    assert bool(plan.database.losses) == is_lost
