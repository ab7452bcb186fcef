"""Builds an HNSW graph on all cores by faiss, an optional package, in the form of hnswlib's.

chromadb adds vectors one by one on one core, whatever `hnsw:num_threads` says (1.5.9: 10.5 s of
processor time for 20,000 with one thread and with two, and as long by the clock).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.segment.elements import Elements
from mempalace_toolkit.chroma.segment.writing import Graph
from mempalace_toolkit.index.graph.connecting import connect

_ROWS = 8192


@dataclass(frozen=True, slots=True)
class GraphTask:
    """How to build: `m` links an element, looked for among `ef_construction` candidates."""

    space: str
    dimension: int
    m: int
    ef_construction: int
    threads: int


def can_build(m: int) -> bool:
    """Whether faiss is installed, and builds graphs of so many links an element."""
    return m > 1 and importlib.util.find_spec("faiss") is not None


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def build_graph(
    task: GraphTask, blocks: Iterator[NDArray[np.float32]]
) -> tuple[Elements, Graph] | None:
    """The graph of these vectors, which are labelled from 1 in their order; None without any."""
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(task.threads)
    index = faiss.IndexHNSWFlat(task.dimension, task.m, _metric(faiss, task.space))
    index.hnsw.efConstruction = task.ef_construction
    lengths = []
    for raw in blocks:
        rows, norms = stored_vectors(raw, task.space)
        index.add(rows)
        lengths.append(norms)
    return _as_hnswlib(faiss, index, task, np.concatenate(lengths)) if lengths else None


def stored_vectors(
    raw: NDArray[np.float32], space: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors and lengths as an index keeps them: of length one, and their norms, for cosine."""
    if space != "cosine":
        return np.ascontiguousarray(raw, np.float32), np.zeros(len(raw), np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", raw, raw, dtype=np.float64))
    unit = raw / np.where(norms > 0, norms, 1)[:, None]
    return unit.astype(np.float32), norms.astype(np.float32)


def _metric(faiss: Any, space: str) -> int:
    """Of vectors of length one the nearest by angle are the nearest by distance."""
    chosen: int = faiss.METRIC_INNER_PRODUCT if space == "ip" else faiss.METRIC_L2
    return chosen


def _as_hnswlib(
    faiss: Any, index: Any, task: GraphTask, lengths: NDArray[np.float32]
) -> tuple[Elements, Graph]:
    count, m = index.ntotal, task.m
    vectors = faiss.rev_swig_ptr(
        faiss.downcast_index(index.storage).get_xb(), count * task.dimension
    )
    held: NDArray[np.int32] = faiss.vector_to_array(index.hnsw.neighbors)
    offsets = faiss.vector_to_array(index.hnsw.offsets).astype(np.int64)[:count]
    levels = faiss.vector_to_array(index.hnsw.levels).astype(np.int32)[:count] - 1
    owners = np.repeat(np.arange(count), levels)
    first = np.repeat(np.cumsum(levels) - levels, levels)
    upper = offsets[owners] + 2 * m + (np.arange(len(owners)) - first) * m
    counts, links = _links(held, offsets, 2 * m)
    entry_point = int(index.hnsw.entry_point)
    connect(links, counts, entry_point)
    upper_counts, upper_links = _links(held, upper, m)
    elements = Elements(
        labels=np.arange(1, count + 1, dtype=np.uint64),
        deleted=np.zeros(count, np.bool_),
        link_counts=counts,
        links=links,
        # A copy, as the memory is the index's.
        vectors=np.array(vectors.reshape(count, task.dimension)),
        lengths=lengths,
    )
    graph = Graph(levels, upper_counts, upper_links, entry_point, m, task.ef_construction)
    return elements, graph


def _links(
    held: NDArray[np.int32], starts: NDArray[np.int64], width: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """The lists of `width` links that begin there: how many hold, and the links, 0 for none."""
    counts = np.zeros(len(starts), np.uint16)
    links = np.zeros((len(starts), width), np.uint32)
    for at in range(0, len(starts), _ROWS):
        rows = held[starts[at : at + _ROWS, None] + np.arange(width)]
        counts[at : at + _ROWS] = np.count_nonzero(rows >= 0, axis=1)
        # The links come first, and -1 where there are fewer.
        links[at : at + _ROWS] = np.maximum(rows, 0)
    return counts, links
