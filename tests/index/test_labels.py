"""What the labels of elements and map tell of each other, at the limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.chroma.records import CollectionRecord
from mempalace_toolkit.chroma.segment.elements import Elements, Header
from mempalace_toolkit.chroma.segment.files import SegmentFiles
from mempalace_toolkit.chroma.segment.id_map import IdMap
from mempalace_toolkit.chroma.settings import IndexSettings
from mempalace_toolkit.index.check.rules.labels import check_labels
from mempalace_toolkit.index.evidence.evidence import Evidence

RECORD = CollectionRecord(
    id="c",
    name="drawers",
    dimension=1,
    settings=IndexSettings(),
    vector_segment="v",
    metadata_segment="m",
    vector_watermark=9,
    metadata_watermark=9,
    ids=(),
    row_ids=np.arange(0),
    sequences=np.arange(0),
    queue=(),
)


def kinds(labels: list[int], mapped: list[int], total: int, count: int | None = None) -> list[str]:
    """The findings for elements with these labels and a map of these, `total` ever given."""
    size = len(labels)
    elements = Elements(
        labels=np.array(labels, np.uint64),
        deleted=np.zeros(size, np.bool_),
        link_counts=np.zeros(size, np.uint16),
        links=np.zeros((size, 2), np.uint32),
        vectors=np.zeros((size, 1), np.float32),
        lengths=None,
    )
    header = Header(1, 0, 10, total if count is None else count, 0, 0, 0, 0, 0, 1, 2, 1, 1.0, 1)
    ids = {label: f"d{label}" for label in mapped}
    map_of_ids = IdMap({name: label for label, name in ids.items()}, ids, total)
    files = SegmentFiles(Path("v"), header, elements, map_of_ids, ())
    return [one.kind for one in check_labels(Evidence(RECORD, files, 9))]


@pytest.mark.parametrize(
    ("labels", "mapped", "total", "found"),
    [
        ([1, 2, 3], [1, 2, 3], 3, []),
        ([1, 2, 3], [1, 2], 3, ["labels_differ"]),
        ([1, 2, 4], [1, 2], 3, ["torn_persist", "labels_differ"]),
        ([1, 2], [1, 2, 3], 3, ["labels_differ"]),
        ([1, 2, 2], [1, 2], 3, ["labels_repeated"]),
        ([1, 2, 0], [1, 2], 3, ["torn_persist", "labels_differ"]),
        ([1, 0, 2], [1, 2], 3, ["labels_differ"]),
        ([0, 0, 0], [1, 2], 3, ["labels_differ"]),
    ],
)
def test_a_label_above_all_that_were_given_and_a_missing_end_tell_of_a_torn_write(
    labels: list[int], mapped: list[int], total: int, found: list[str]
) -> None:
    assert kinds(labels, mapped, total) == found


def test_a_header_that_counts_other_than_the_map_tells_of_a_torn_write() -> None:
    assert kinds([1, 2, 3], [1, 2, 3], 3, count=4) == ["torn_persist"]
