"""Writes the five files of a vector segment, as chromadb 1.5.9 writes and reads them.

The counterpart of `files.py`: what is written here is read there as the same values.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.segment.elements import (
    HEADER,
    HEADER_FORMAT,
    LENGTHS,
    LEVEL0,
    Elements,
)
from mempalace_toolkit.chroma.segment.files import LINK_LISTS, PICKLE

_ROWS = 4096
_PAIRS = 1000  # that a pickler puts between a mark and the opcode which takes them


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph beside its elements: `levels` is each element's highest level, 0 for most.

    `upper_counts` and `upper_links` have a row for each element and level above 0, by element,
    then by level; of a row's M links the first `upper_counts` hold.
    """

    levels: NDArray[np.int32]
    upper_counts: NDArray[np.uint16]
    upper_links: NDArray[np.uint32]
    entry_point: int
    m: int
    ef_construction: int


def write_segment(folder: Path, ids: Sequence[str], elements: Elements, graph: Graph) -> None:
    """Write a folder's files, all of them flushed to the disk; none of them may be there.

    `ids` name the elements in their order; elements that are deleted have no name, and their
    ids are left out of the map.
    """
    with _new_file(folder / HEADER) as file:
        file.write(_header(elements, graph))
    with _new_file(folder / LEVEL0) as file:
        for rows in _level0(elements):
            file.write(rows.view(np.uint8).data)
    with _new_file(folder / LENGTHS) as file:
        lengths = elements.lengths
        whole = np.zeros(len(elements.labels), "<f4") if lengths is None else lengths
        file.write(np.ascontiguousarray(whole, "<f4").tobytes())
    with _new_file(folder / LINK_LISTS) as file:
        file.write(_upper_levels(graph).tobytes())
    with _new_file(folder / PICKLE) as file:
        live = np.flatnonzero(~np.asarray(elements.deleted)).tolist()
        labels = elements.labels[live].tolist()
        names = ids if len(live) == len(ids) else [ids[place] for place in live]
        for piece in _id_map(names, labels, int(elements.labels.max(initial=0))):
            file.write(piece)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _header(elements: Elements, graph: Graph) -> bytes:
    count, dimension = elements.vectors.shape
    vector_offset = 4 + 8 * graph.m
    label_offset = vector_offset + 4 * dimension
    return HEADER_FORMAT.pack(
        1,
        0,
        count,
        count,
        label_offset + 8,
        label_offset,
        vector_offset,
        int(graph.levels.max(initial=-1)),
        graph.entry_point,
        graph.m,
        2 * graph.m,
        graph.m,
        1 / math.log(graph.m),
        graph.ef_construction,
    )


def _level0(elements: Elements) -> Iterator[NDArray[np.void]]:
    """The elements' bytes, a block of rows at a time."""
    count, dimension = elements.vectors.shape
    row = np.dtype(
        [
            ("links", "<u2"),
            ("deleted", "u1"),
            ("unused", "u1"),
            ("neighbours", "<u4", (elements.links.shape[1],)),
            ("vector", "<f4", (dimension,)),
            ("label", "<u8"),
        ]
    )
    for start in range(0, count, _ROWS):
        part = slice(start, start + _ROWS)
        rows = np.zeros(len(elements.labels[part]), row)
        rows["links"] = elements.link_counts[part]
        rows["deleted"] = elements.deleted[part]
        rows["neighbours"] = elements.links[part]
        rows["vector"] = elements.vectors[part]
        rows["label"] = elements.labels[part]
        yield rows


def _upper_levels(graph: Graph) -> NDArray[np.uint32]:
    """`link_lists.bin` in words: each element's bytes, then its blocks."""
    block = 1 + graph.m
    levels = graph.levels.astype(np.int64)
    # An element's word is followed by the words of its blocks.
    starts = np.arange(len(levels)) + np.cumsum(levels * block) - levels * block
    words = np.zeros(len(levels) + int(levels.sum()) * block, "<u4")
    words[starts] = levels * block * 4
    owners = np.repeat(np.arange(len(levels)), levels)
    first = np.repeat(np.cumsum(levels) - levels, levels)
    places = starts[owners] + 1 + (np.arange(len(owners)) - first) * block
    words[places] = graph.upper_counts
    words[places[:, None] + 1 + np.arange(graph.m)] = graph.upper_links
    return words


def _id_map(ids: Sequence[str], labels: Sequence[int], total: int) -> Iterator[bytes]:
    """`index_metadata.pickle`: a dict in protocol 3 without memo, keys as chromadb orders them."""
    yield b"\x80\x03}("
    yield _text("dimensionality") + b"N"
    yield _text("total_elements_added") + _number(total)
    yield _text("max_seq_id") + b"N"
    yield _text("id_to_label")
    yield from _dict([_text(one) for one in ids], [_number(one) for one in labels])
    yield _text("label_to_id")
    yield from _dict([_number(one) for one in labels], [_text(one) for one in ids])
    yield _text("id_to_seq_id") + b"}u."


def _dict(keys: list[bytes], values: list[bytes]) -> Iterator[bytes]:
    yield b"}"
    for start in range(0, len(keys), _PAIRS):
        part = slice(start, start + _PAIRS)
        pairs = zip(keys[part], values[part], strict=True)
        yield b"(" + b"".join(key + value for key, value in pairs) + b"u"


def _text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    length = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)
