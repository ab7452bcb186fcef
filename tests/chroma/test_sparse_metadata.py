"""A client may file drawers with some metadata only: that is no damage, and nothing is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from mempalace_toolkit.index.check.check import check_palace
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
