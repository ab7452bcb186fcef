"""Query, get and count of a collection, against chromadb's own, and drawers that are pending."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.recall.collection import AskedCollection, Selection
from mempalace_toolkit.recall.filters import FilterError, condition, equalities, matches
from mempalace_toolkit.recall.following import FollowedPalace
from mempalace_toolkit.recall.pending import Pending, PendingDrawer, mark_queued
from tests.palaces.making import DRAWERS, embed
from tests.palaces.opening import Chroma

Copy = Callable[[str], PalaceLocation]
CLAUSES: tuple[dict[str, Any], ...] = (
    {"wing": "wing1"},
    {"wing": {"$ne": "wing1"}},
    {"room": {"$in": ["technical", "planning"]}},
    {"room": {"$nin": ["technical", "nowhere"]}},
    {"chunk_index": 3},
    {"chunk_index": {"$gte": 5}},
    {"chunk_index": {"$lt": 2}},
    {"source_mtime": {"$gt": 1_700_000_010.0}},
    {"hall": "seen"},
    {"hall": {"$ne": "seen"}},
    {"nothing": "x"},
    {"$and": [{"wing": "wing2"}, {"room": "technical"}]},
    {"$or": [{"wing": "wing2"}, {"chunk_index": {"$in": [0, 7]}}]},
    {"$and": [{"wing": {"$in": ["wing0", "wing3"]}}, {"chunk_index": {"$lte": 4}}]},
    {"$and": [{"$or": [{"room": "planning"}, {"hall": "seen"}]}, {"wing": {"$ne": "wing4"}}]},
)


@pytest.fixture
def asked(palace: Copy) -> AskedCollection:
    """The drawers of the usual palace."""
    followed = FollowedPalace(palace("usual"))
    followed.refresh()
    return AskedCollection(followed, DRAWERS)


def test_every_clause_means_the_drawers_that_chromadb_finds(
    asked: AskedCollection, chroma: Chroma
) -> None:
    place = asked.followed.palace
    theirs = chroma.answer("select", place.path, collection=DRAWERS, clauses=list(CLAUSES))
    question = embed(["question"], 384)[0]
    everything = {row.id: row for row in asked.get(Selection())}
    for clause, ids in zip(CLAUSES, theirs, strict=True):
        rows = asked.get(Selection(clause))
        assert [row.id for row in rows] == ids, clause
        found = asked.query(question, 1000, clause)
        assert sorted(one.row.id for one in found) == sorted(ids), clause
        assert [one.distance for one in found] == sorted(one.distance for one in found)
        held = {name for name, row in everything.items() if matches(row.metadata or {}, clause)}
        assert held == set(ids), clause


def test_get_and_count_give_what_chromadb_gives(asked: AskedCollection, chroma: Chroma) -> None:
    seen = chroma.ask(asked.followed.palace.path)[DRAWERS]
    rows = asked.get(Selection())
    assert asked.count() == seen.count == len(rows)
    assert {row.id: row.document for row in rows} == seen.texts
    assert {row.id: row.metadata for row in rows} == seen.metadatas
    ids = [row.id for row in rows]
    assert [row.id for row in asked.get(Selection(limit=5, offset=3))] == ids[3:8]
    chosen = [*reversed(ids[10:14]), "nothing"]
    assert [row.id for row in asked.get(Selection(ids=chosen))] == ids[10:14]
    assert [row.id for row in asked.get(Selection(ids=chosen, limit=2))] == ids[10:12]


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ({"$not": {"wing": "x"}}, "operator \\$not is not known"),
        ({"wing": {"$like": "x"}}, "operator \\$like is not known"),
        ({"wing": {"$contains": "x"}}, "operator \\$contains is not known"),
        ({"wing": {"$in": "x"}}, "takes a list"),
        ({"wing": None}, "not NoneType"),
        ({"wing": {"$gt": "x"}}, "takes a number"),
        ({"$and": {"wing": "x"}}, "takes a list of clauses"),
    ],
)
def test_a_clause_that_is_not_understood_is_refused(clause: dict[str, Any], said: str) -> None:
    with pytest.raises(FilterError, match=said):
        condition(clause)


def test_only_clauses_of_wing_and_room_are_answered_by_their_codes() -> None:
    keys = frozenset({"wing", "room"})
    both = {"$and": [{"wing": "a"}, {"room": {"$in": ["b", "c"]}}, {"room": "c"}]}
    assert equalities(both, keys) == {"wing": frozenset({"a"}), "room": frozenset({"c"})}
    for other in ({"hall": "x"}, {"wing": {"$ne": "a"}}, {"wing": 3}, {"$or": [{"wing": "a"}]}):
        assert equalities(other, keys) is None


def test_a_drawer_that_changes_its_room_is_found_in_the_new_one(
    asked: AskedCollection, chroma: Chroma
) -> None:
    question, place = embed(["question"], 384)[0], asked.followed.palace.path
    before = {one.row.id for one in asked.query(question, 1000, {"wing": "wing0"})}
    ids = chroma.answer(
        "upsert", place, collection=DRAWERS, numbers=[5000, 5001], version=0, dimension=384
    )
    asked.followed.refresh()
    after = {one.row.id for one in asked.query(question, 1000, {"wing": "wing0"})}
    assert after - before == {ids[0]}  # 5001 is of wing1
    gone = chroma.answer(
        "upsert", place, collection=DRAWERS, numbers=[5000], version=0, dimension=384, call="delete"
    )
    asked.followed.refresh()
    assert {one.row.id for one in asked.query(question, 1000, {"wing": "wing0"})} == before
    assert gone[0] not in {row.id for row in asked.get(Selection())}


def test_a_drawer_whose_row_is_gone_is_left_out_and_others_take_its_place(
    asked: AskedCollection,
) -> None:
    question = embed(["question"], 384)[0]
    first = [one.row.id for one in asked.query(question, 60)]
    with sqlite3.connect(asked.followed.palace.database) as connection:
        marks = ",".join("?" * 40)
        connection.execute(f"delete from embeddings where embedding_id in ({marks})", first[:40])
    connection.close()
    assert [one.row.id for one in asked.query(question, 20)] == first[40:]


def pending_drawers() -> Iterator[PendingDrawer]:
    """One a wing."""
    for number in range(3):
        text = f"The pending talk number {number}."
        metadata = {"wing": f"wing{number}", "room": "technical", "chunk_index": 0}
        yield PendingDrawer(f"pending{number}", text, metadata, embed([text], 384)[0])


def test_pending_drawers_are_found_as_if_they_were_filed(asked: AskedCollection) -> None:
    one, two, three = pending_drawers()
    filed = asked.count()
    for drawer in (one, two, three):
        asked.pending.add(drawer)
    found = asked.query(two.vector, 5)
    assert (found[0].row.id, found[0].row.document) == (two.id, two.document)
    assert abs(found[0].distance) < 1e-6
    np.testing.assert_allclose(found[0].vector, two.vector)
    assert asked.query(two.vector, 1, {"wing": "wing0"})[0].row.id != two.id
    assert asked.query(one.vector, 1, {"wing": "wing0"})[0].row.id == one.id
    assert asked.count() == filed + 3
    assert [row.id for row in asked.get(Selection(ids=[three.id]))] == [three.id]
    assert [row.id for row in asked.get(Selection())][-3:] == [one.id, two.id, three.id]
    assert len(asked.get(Selection(limit=filed + 2))) == filed + 2
    asked.pending.forget([two.id])
    assert asked.query(two.vector, 1)[0].row.id != two.id
    assert asked.count() == filed + 2


def test_a_pending_drawer_stands_for_the_filed_one_with_its_id(asked: AskedCollection) -> None:
    row = asked.get(Selection(limit=1))[0]
    text = "Quite another text."
    asked.pending.add(PendingDrawer(row.id, text, {"wing": "new"}, embed([text], 384)[0]))
    everything = asked.query(embed([text], 384)[0], 1000)
    assert [one.row.document for one in everything if one.row.id == row.id] == [text]
    assert [one.document for one in asked.get(Selection(ids=[row.id]))] == [text]
    assert asked.count() == len(everything)


def test_hits_that_are_not_filed_yet_say_so() -> None:
    pending = Pending()
    pending.add(next(pending_drawers()))
    hits: list[dict[str, Any]] = [{"drawer_id": "pending0"}, {"drawer_id": "other"}]
    mark_queued(hits, pending)
    assert hits == [{"drawer_id": "pending0", "queued": True}, {"drawer_id": "other"}]


def test_numbers_are_compared_with_numbers_of_their_own_kind() -> None:
    clauses: tuple[dict[str, Any], ...] = ({"n": 3}, {"n": {"$gte": 3}})
    for whole, clause in itertools.product((3, 3.0), clauses):
        assert matches({"n": whole}, clause) is isinstance(whole, int)
    assert matches({"n": True}, {"n": True})
    assert not matches({"n": True}, {"n": 1})


def test_reading_leaves_the_palace_as_it_was(asked: AskedCollection, tmp_path: Path) -> None:
    from tests.conftest import tree_state

    before = tree_state(asked.followed.palace.path)
    asked.query(embed(["question"], 384)[0], 5, {"wing": "wing1"})
    asked.get(Selection({"room": "technical"}))
    asked.followed.refresh()
    assert tree_state(asked.followed.palace.path) == before
