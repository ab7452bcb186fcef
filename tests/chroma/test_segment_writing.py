"""What the writer of an index's files writes, the reader reads, and chromadb too."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.chroma.segment.elements import Elements
from mempalace_toolkit.chroma.segment.files import SegmentFiles, read_segment
from mempalace_toolkit.chroma.segment.link_lists import walk
from mempalace_toolkit.chroma.segment.writing import Graph, write_segment
from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.graph.connecting import connect
from mempalace_toolkit.index.graph.parallel import GraphTask, build_graph, stored_vectors
from mempalace_toolkit.index.repair import build as rebuild
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.index.salvage.salvaged import Salvage
from mempalace_toolkit.index.workers.run import ChildTask, run_child
from tests.palaces.fixtures import Copy
from tests.palaces.making import DRAWERS, SHAPES, drawer, truth
from tests.palaces.opening import Chroma
from tests.palaces.repairing import Model, repair, setting

NAMES = st.text(min_size=1, max_size=12)


@st.composite
def segments(draw: st.DrawFn) -> tuple[list[str], Elements, Graph]:
    """Any elements and any graph that the files can hold; no graph that makes sense."""
    count = draw(st.integers(1, 12))
    m, dimension = draw(st.integers(2, 5)), draw(st.integers(1, 4))
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = seed.integers(0, 3, count).astype(np.int32)
    blocks = int(levels.sum())
    largest = draw(st.sampled_from([50, 2**40]))
    elements = Elements(
        labels=np.sort(seed.choice(np.arange(largest - 49, largest), count, False)).astype("<u8"),
        deleted=seed.random(count) < 0.3,
        link_counts=seed.integers(0, 2 * m + 1, count).astype(np.uint16),
        links=seed.integers(0, count, (count, 2 * m)).astype(np.uint32),
        vectors=seed.standard_normal((count, dimension)).astype(np.float32),
        lengths=seed.random(count).astype(np.float32),
    )
    graph = Graph(
        levels,
        seed.integers(0, m + 1, blocks).astype(np.uint16),
        seed.integers(0, count, (blocks, m)).astype(np.uint32),
        int(np.argmax(levels)),
        m,
        draw(st.integers(1, 1000)),
    )
    ids = draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    return ids, elements, graph


@settings(max_examples=60, deadline=None)
@given(segments())
def test_what_is_written_is_read_as_the_same(
    segment: tuple[list[str], Elements, Graph],
) -> None:
    ids, elements, graph = segment
    with TemporaryDirectory() as folder:
        write_segment(Path(folder), ids, elements, graph)
        files = read_segment(Path(folder), elements.vectors.shape[1])
        assert_same(files, ids, elements, graph)
        with Path(folder, "index_metadata.pickle").open("rb") as file:
            assert pickle.load(file)["id_to_label"] == files.id_map.labels  # type: ignore[union-attr]


def assert_same(files: SegmentFiles, ids: list[str], elements: Elements, graph: Graph) -> None:
    assert files.problems == ()
    assert files.header and files.elements and files.id_map and files.upper_links is not None
    for name in Elements.__slots__:
        assert np.array_equal(getattr(files.elements, name), getattr(elements, name)), name
    live = np.flatnonzero(~elements.deleted).tolist()
    assert files.id_map.labels == {ids[at]: int(elements.labels[at]) for at in live}
    assert files.id_map.total == int(elements.labels.max())
    header = files.header
    assert (header.m, header.ef_construction) == (graph.m, graph.ef_construction)
    assert (header.entry_point, header.max_level) == (graph.entry_point, int(graph.levels.max()))
    upper = walk(files.upper_links, header.count, header.max_links, header.max_level)
    assert np.array_equal(upper.levels, graph.levels)
    words = files.upper_links
    assert np.array_equal(words[upper.starts], graph.upper_counts)
    columns = 1 + np.arange(graph.m)
    assert np.array_equal(words[upper.starts[:, None] + columns], graph.upper_links)


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("shape", ["usual", "l2", "ip", "three_collections", "tiny"])
def test_chromadb_searches_and_goes_on_with_an_index_built_in_either_way(
    palace: Copy,
    chroma: Chroma,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: str,
    parallel: bool,
) -> None:
    if parallel:
        pytest.importorskip("faiss")
    ways = watch_ways(monkeypatch, parallel)
    damaged = palace(shape)
    for header in damaged.path.glob("*/header.bin"):
        header.write_bytes(bytes(100))
    findings = check_palace(damaged)
    repair(damaged, findings, tmp_path, Model(SHAPES[shape].dimension))
    assert set(ways) <= {parallel}
    assert bool(ways) is bool(findings)
    seen = chroma.ask(damaged.path)
    for name, drawers in truth(SHAPES[shape]).items():
        assert seen[name].texts == {one.id: one.text for one in drawers.values()}
        assert seen[name].reached == set(drawers)
    more = {
        "collection": DRAWERS,
        "numbers": list(range(9000, 9300)),
        "version": 1,
        "dimension": SHAPES[shape].dimension,
    }
    assert chroma.answer("upsert", damaged.path, **more) == [
        drawer(DRAWERS, number, 1).id for number in range(9000, 9300)
    ]
    if SHAPES[shape].space != "ip":  # where a longer vector is nearer than the same one
        found = chroma.answer("find", damaged.path, **more)
        assert found == [drawer(DRAWERS, number, 1).id for number in range(9000, 9300)]
    assert (
        len(chroma.ask(damaged.path)[DRAWERS].reached) >= len(truth(SHAPES[shape])[DRAWERS]) + 299
    )
    assert all(finding.harmless for finding in check_palace(damaged))


def watch_ways(monkeypatch: pytest.MonkeyPatch, parallel: bool) -> list[bool]:
    """Allow faiss or not; the list of how indexes were built since."""
    ways: list[bool] = []
    build = rebuild._build

    def watched(*given: Any, **more: Any) -> Path:
        ways.append(more["parallel"])
        return build(*given, **more)

    monkeypatch.setattr(rebuild, "_build", watched)
    if not parallel:
        monkeypatch.setattr(rebuild, "can_build", lambda m: False)
    return ways


def test_where_faiss_fails_chromadb_builds_the_index(
    palace: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    ways = watch_ways(monkeypatch, True)
    monkeypatch.setattr(rebuild, "cores", lambda: "no number")  # faiss takes none of these
    damaged = palace("drawers_only")
    for header in damaged.path.glob("*/header.bin"):
        header.write_bytes(bytes(100))

    def able(what: ChildTask, stream: Iterable[bytes]) -> dict[str, object]:
        if not what.task["parallel"]:
            what = replace(what, task={**what.task, "threads": 1})
        return run_child(what, stream)

    monkeypatch.setattr(rebuild, "run_child", able)
    repair(damaged, check_palace(damaged), tmp_path)
    assert ways == [True, False]


def test_an_index_that_is_short_of_one_drawer_does_not_go_in(
    palace: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = palace("drawers_only")
    for header in damaged.path.glob("*/header.bin"):
        header.write_bytes(bytes(100))
    findings = check_palace(damaged)
    before = {path.name: path.read_bytes() for path in damaged.path.glob("*/*")}
    whole = rebuild.stream

    def short(found: Salvage, positions: object = None) -> Iterator[bytes]:
        return whole(found, np.arange(len(found.record.ids) - 1))

    monkeypatch.setattr(rebuild, "stream", short)
    with pytest.raises(MempalaceError, match="is not whole"):
        repair_palace(damaged, plan_repair(damaged, findings), setting(tmp_path, Model()))
    assert {path.name: path.read_bytes() for path in damaged.path.glob("*/*")} == before
    assert check_palace(damaged) == findings


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 2**32))
def test_every_element_can_be_reached_once_connected(count: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    links = random.integers(0, count, (count, width)).astype(np.uint32)
    counts = random.integers(0, width, count).astype(np.uint16)
    before = [set(row[:number].tolist()) for row, number in zip(links, counts, strict=True)]
    connect(links, counts, 0)
    reached, latest = {0}, {0}
    while latest:
        latest = {
            int(one) for element in latest for one in links[element, : counts[element]]
        } - reached
        reached |= latest
    assert reached == set(range(count))
    for row, number, held in zip(links, counts, before, strict=True):
        assert held <= set(row[:number].tolist())


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
def test_a_graph_of_equal_and_zero_vectors_is_sound(tmp_path: Path, space: str) -> None:
    pytest.importorskip("faiss")
    raw = np.zeros((300, 8), np.float32)
    raw[:100] = 1
    raw[100:200] = np.random.default_rng(1).standard_normal((100, 8))
    built = build_graph(GraphTask(space, 8, 16, 100, 2), iter([raw[:7], raw[7:]]))
    assert built is not None
    write_segment(tmp_path, [str(n) for n in range(300)], *built)
    files = read_segment(tmp_path, 8)
    assert files.problems == ()
    assert files.elements is not None
    assert np.array_equal(files.elements.vectors, stored_vectors(raw, space)[0])
