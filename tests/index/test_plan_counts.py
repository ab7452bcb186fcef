"""How many drawers a top-up adds, and when a rebuilt graph is built once more: exact counts."""

from __future__ import annotations

import numpy as np
import pytest

from mempalace_toolkit.chroma.records import CollectionRecord
from mempalace_toolkit.chroma.settings import IndexSettings
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.repair.plan import to_add
from mempalace_toolkit.index.repair.prove import Proof
from mempalace_toolkit.index.salvage.salvaged import Origin, Salvage


def salvaged(
    origins: list[int],
    sequences: list[int],
    watermark: int | None,
    indexed: tuple[int, ...] = (),
) -> Salvage:
    """A collection whose drawers' vectors come from there, each last touched by an operation."""
    count = len(origins)
    record = CollectionRecord(
        id="c",
        name="drawers",
        dimension=2,
        settings=IndexSettings(),
        vector_segment="v",
        metadata_segment="m",
        vector_watermark=watermark,
        metadata_watermark=watermark,
        ids=tuple(f"d{number}" for number in range(count)),
        row_ids=np.arange(1, count + 1),
        sequences=np.array(sequences),
        queue=(),
    )
    no_place = np.full(count, -1)
    places = no_place.astype(np.int16), no_place.astype(np.int64)
    in_the_index = np.isin(np.arange(count), indexed)
    return Salvage(record, 2, np.array(origins, np.int8), *places, [], {}, {}, in_the_index)


@pytest.mark.parametrize(
    ("watermark", "added"),
    [(None, []), (4, []), (5, [0]), (6, [0, 1]), (7, [0, 1, 2])],
)
def test_what_the_queue_holds_above_the_watermark_is_on_its_way_and_not_added(
    watermark: int | None, added: list[int]
) -> None:
    found = salvaged([Origin.QUEUE, Origin.QUEUE, Origin.QUEUE], [5, 6, 7], watermark)
    assert to_add(found).tolist() == added


def test_only_what_is_not_in_the_index_is_added() -> None:
    found = salvaged(
        [Origin.LIVE, Origin.QUARANTINED, Origin.NOWHERE, Origin.QUEUE], [9, 9, 9, 9], 5
    )
    assert to_add(found).tolist() == [1, 2]


def test_what_the_index_has_taken_in_from_the_queue_is_not_added_again() -> None:
    found = salvaged([Origin.QUEUE, Origin.QUEUE, Origin.NOWHERE], [5, 6, 7], 7, indexed=(0, 2))
    assert to_add(found).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("missing", "remedy"), [(1, "top_up"), (25, "top_up"), (26, "rebuild_segment")]
)
def test_an_index_that_lacks_more_than_a_fourth_is_rebuilt(missing: int, remedy: str) -> None:
    numbers = {"missing": missing, "drawers": 100}
    assert Finding("ids_missing", "", "drawers", "v", numbers).remedy == remedy


@pytest.mark.parametrize(
    ("drawers", "reached", "found", "again", "holds"),
    [
        (1000, 1000, 32, False, True),
        (1000, 999, 32, False, True),
        (1000, 998, 32, True, False),
        (1000, 1000, 31, True, False),
        (300, 300, 32, False, True),
        (300, 299, 32, True, True),
        (300, 298, 32, True, False),
    ],
)
def test_a_graph_is_built_again_only_where_that_may_reach_more(
    drawers: int, reached: int, found: int, again: bool, holds: bool
) -> None:
    proof = Proof("drawers", drawers, reached, 32, found)
    assert (proof.is_worth_another_try, proof.holds) == (again, holds)


def test_a_child_that_failed_proves_nothing_and_is_not_tried_again() -> None:
    proof = Proof("drawers", 10, 10, 5, 5, failure="it was ended by SIGSEGV")
    assert (proof.is_worth_another_try, proof.holds) == (False, False)
