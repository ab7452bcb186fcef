"""What is loaded without chromadb is what chromadb has, and nothing is left open or changed."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.recall.loading import UnsoundIndexError, load_palace
from mempalace_toolkit.recall.nearest import nearest
from mempalace_toolkit.recall.vectors import BLOCK_ROWS, Vectors
from tests.conftest import tree_state
from tests.palaces.making import DRAWERS, embed
from tests.palaces.opening import Chroma, Seen

Copy = Callable[[str], PalaceLocation]

SHAPES = ("usual", "never_flushed", "one_flushed", "tiny", "empty", "l2", "ip", "all_deleted")


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_loaded_is_what_chromadb_has(palace: Copy, chroma: Chroma, shape: str) -> None:
    place = palace(shape)
    before = tree_state(place.path)
    loaded = load_palace(place).collections
    assert tree_state(place.path) == before
    seen = chroma.ask(place.path)
    assert loaded.keys() == seen.keys()
    for name, collection in loaded.items():
        vectors = collection.vectors
        assert collection.trouble == ""
        assert vectors.places.keys() == seen[name].texts.keys()
        for drawer, raw in seen[name].vectors.items():
            np.testing.assert_allclose(vectors.raw(drawer), raw, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", ["usual", "l2", "ip"])
def test_the_nearest_are_found_by_the_collections_own_measure(
    palace: Copy, chroma: Chroma, shape: str
) -> None:
    place = palace(shape)
    vectors = load_palace(place, [DRAWERS]).collections[DRAWERS].vectors
    seen = chroma.ask(place.path)[DRAWERS]
    questions = embed([f"question {n}" for n in range(100)], vectors.dimension)
    missed = 0
    for question, theirs in zip(questions, seen.nearest, strict=True):
        found = nearest(vectors, question, 10)
        true = true_distances(seen, vectors.space, question)
        expected = sorted(true.values())[:10]
        np.testing.assert_allclose([one.distance for one in found], expected, atol=1e-5)
        assert all(abs(true[one.id] - one.distance) < 1e-5 for one in found)
        missed += len({one.id for one in found} - theirs)
    assert missed <= 10  # of 1,000: what HNSW itself misses


def true_distances(seen: Seen, space: str, question: np.ndarray) -> dict[str, float]:
    """Every drawer's distance, computed with twice the digits."""
    asked = question.astype(np.float64)
    found = {}
    for drawer, row in seen.vectors.items():
        wide = row.astype(np.float64)
        if space == "l2":
            found[drawer] = float(((wide - asked) ** 2).sum())
        else:
            scale = np.linalg.norm(wide) * np.linalg.norm(asked) if space == "cosine" else 1
            found[drawer] = float(1 - wide @ asked / scale)
    return found


def test_only_what_is_allowed_is_found_and_equal_vectors_come_in_the_order_of_writing() -> None:
    vectors = Vectors(3, "cosine")
    same = np.array([1, 2, 3], np.float32)
    for name in ("first", "second", "third", "fourth"):
        vectors.put(name, same)
    vectors.remove("first")
    vectors.put("first", same)  # written again: the last now, at the place it had
    names = [one.id for one in nearest(vectors, same, 10)]
    assert names == ["second", "third", "fourth", "first"]
    allowed = np.array([True, False, False, True])
    assert [one.id for one in nearest(vectors, same, 10, allowed)] == ["fourth", "first"]
    assert [one.id for one in nearest(vectors, same, 1)] == ["second"]
    assert nearest(Vectors(3, "cosine"), same, 5) == []
    with pytest.raises(ValueError, match="4 numbers in an index of 3"):
        nearest(vectors, np.ones(4, np.float32), 1)


def test_vectors_are_kept_over_many_blocks_while_some_go_and_come() -> None:
    random = np.random.default_rng(2)
    rows = random.standard_normal((2 * BLOCK_ROWS + 10, 4)).astype(np.float32)
    vectors, held = Vectors(4, "l2"), {}
    for number, row in enumerate(rows):
        vectors.put(f"d{number}", row)
        held[f"d{number}"] = row
        if number % 5 == 4:
            gone = f"d{int(random.integers(number))}"
            vectors.remove(gone)
            held.pop(gone, None)
    assert vectors.places.keys() == held.keys()
    assert len(vectors.ids) < len(rows) - 1000  # the places of those that went were used again
    for drawer, row in list(held.items())[::97]:
        assert np.array_equal(vectors.raw(drawer), row)
        assert nearest(vectors, row, 1)[0].id == drawer


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_no_file_of_the_palace_stays_open_or_mapped(palace: Copy) -> None:
    place = palace("usual")
    loaded = load_palace(place)
    assert len(loaded.collections[DRAWERS].vectors)
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            assert not opened.readlink().is_relative_to(place.path)
    assert str(place.path) not in Path("/proc/self/maps").read_text()


def segment(place: PalaceLocation) -> Path:
    """The folder of the drawers' index."""
    return place.path / load_palace(place).collections[DRAWERS].vector_segment


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "index_metadata.pickle").unlink(), "index_metadata.pickle"),
        (lambda folder: os.truncate(folder / "data_level0.bin", 9000), "holds 5 of"),
        (lambda folder: (folder / "header.bin").write_bytes(bytes(100)), "header.bin"),
        (lambda folder: folder.rename(folder.with_suffix(".drift-x")), "header.bin"),
    ],
)
def test_an_index_that_cannot_be_read_is_told_and_no_vector_taken_from_it(
    palace: Copy, damage: Callable[[Path], object], said: str
) -> None:
    place = palace("usual")
    damage(segment(place))
    loaded = load_palace(place).collections[DRAWERS]
    assert said in loaded.trouble
    assert len(loaded.vectors) == 0


def test_drawers_without_a_vector_are_counted(palace: Copy) -> None:
    place = palace("usual")
    with sqlite3.connect(place.database) as connection:
        connection.execute("delete from embeddings_queue where operation = 2")
    connection.close()
    loaded = load_palace(place).collections[DRAWERS]
    assert loaded.lacking > 0
    assert f"{loaded.lacking} drawers without a vector" in loaded.trouble


def test_a_database_of_an_unknown_kind_is_refused(palace: Copy) -> None:
    place = palace("tiny")
    with sqlite3.connect(place.database) as connection:
        connection.execute("alter table embeddings_queue rename column vector to vectors")
    connection.close()
    with pytest.raises(UnsoundIndexError, match="has no column vector"):
        load_palace(place)
