"""Whose the elements of an index without names are, by the law that their order is the drawers'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mempalace_toolkit.index.salvage.alignment import Alignment, align

NOTHING: frozenset[int] = frozenset()


def aligned(elements: list[int], targets: list[int], silent: frozenset[int] = NOTHING) -> Alignment:
    """Drawers 0, 1, 2, … among elements that name the drawer, -1 for one that was deleted.

    `silent` drawers have no comparison that tells.
    """

    def compare(drawers: Sequence[int], most: int) -> list[tuple[int, ...]]:
        return [
            tuple(
                offset
                for offset in range(most + 1)
                if elements[drawer + offset] == drawer and drawer not in silent
            )
            for drawer in drawers
        ]

    most = len(elements) - 1 - targets[-1]
    return align(np.array(targets), most, set(), compare)


@st.composite
def indexes(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Elements of up to 400 drawers with some deleted ones between, and who can be compared."""
    total = draw(st.integers(1, 400))
    deleted = draw(st.lists(st.integers(0, total), max_size=12))
    elements: list[int] = []
    for drawer in range(total):
        elements += [-1] * deleted.count(drawer)
        elements.append(drawer)
    elements += [-1] * deleted.count(total)
    targets = draw(st.sets(st.integers(0, total - 1), min_size=1))
    return elements, sorted(targets)


@given(indexes())
def test_every_drawer_finds_its_element_whatever_was_deleted_between(
    index: tuple[list[int], list[int]],
) -> None:
    elements, targets = index
    found = aligned(elements, targets)
    for target, offset in zip(targets, found.offsets.tolist(), strict=True):
        assert elements[target + offset] == target


@given(indexes(), st.sets(st.integers(0, 399)))
def test_no_drawer_finds_anothers_element_where_some_cannot_be_compared(
    index: tuple[list[int], list[int]], silent: set[int]
) -> None:
    elements, targets = index
    found = aligned(elements, targets, frozenset(silent))
    for target, offset in zip(targets, found.offsets.tolist(), strict=True):
        assert offset < 0 or elements[target + offset] == target


@pytest.mark.parametrize(("deleted", "most"), [(0, 9), (1, 60), (10, 500)])
def test_few_of_many_drawers_are_compared(deleted: int, most: int) -> None:
    places = np.linspace(50, 99_000, deleted).astype(int).tolist()
    elements = [
        one for drawer in range(100_000) for one in [-1] * places.count(drawer) + [drawer]
    ] if deleted else list(range(100_000))  # fmt: skip
    found = aligned(elements, list(range(100_000)))
    assert len(found.compared) <= most
    assert np.all(found.offsets >= 0)


def test_an_order_that_falls_anywhere_proves_nothing() -> None:
    elements = [-1, -1, *range(50), *range(52, 100), 50, 51]
    found = aligned(elements, [*range(50), *range(52, 98)])
    assert np.all(found.offsets < 0) or np.all(found.offsets == 2)
    backwards = aligned(list(range(99, -1, -1)), list(range(100)))
    assert not np.any((backwards.offsets >= 0) & (np.arange(100) != 49))
