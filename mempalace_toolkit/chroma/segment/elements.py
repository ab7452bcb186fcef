"""The header and the elements of a segment: `header.bin`, `data_level0.bin`, `length.bin`."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.segment.bounded_read import ReadError, file_size, load, release

HEADER, LEVEL0, LENGTHS = "header.bin", "data_level0.bin", "length.bin"
HEADER_FORMAT = struct.Struct("<iQQQQQQiiQQQdQ")
_VERSION = 1
_LABEL_BYTES = 8
_MOST_ELEMENTS = (1 << 32) - 1  # they are numbered by u32
_MOST_LINKS = 4096
_MOST_LEVELS = 64
_MOSTLY = 0.9
_ROWS = 1 << 16  # of a mapped file that are in memory at a time
_USUAL_M = (16, 8, 32, 64, 4, 12, 24, 48, 5, 6, 10, 20, 40, 100)


@dataclass(frozen=True, slots=True)
class Header:
    """`header.bin`, as written by chromadb 1.5.9: 100 bytes, little-endian `=iQQQQQQiiQQQdQ`."""

    version: int
    level0_offset: int
    max_elements: int
    count: int
    element_size: int
    label_offset: int
    vector_offset: int
    max_level: int
    entry_point: int
    max_links: int
    max_links0: int
    m: int
    level_factor: float
    ef_construction: int

    @property
    def dimension(self) -> int:
        """Numbers a vector; only of use where the header is possible."""
        return (self.label_offset - self.vector_offset) // 4


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of `data_level0.bin`: as many as the header counts and the file holds.

    Labels, flags and counts are copies: they are looked at often, and lie far apart in the file.
    `links` is (count, max_links0) u32, of which the first `link_counts` hold; `vectors` is
    (count, dimension) f32, unit length for cosine; `lengths` are the norms before.
    """

    labels: NDArray[np.uint64]
    deleted: NDArray[np.bool_]
    link_counts: NDArray[np.uint16]
    links: NDArray[np.uint32]
    vectors: NDArray[np.float32]
    lengths: NDArray[np.float32] | None


def read_header(folder: Path, dimension: int | None) -> Header:
    """The header, if it agrees with itself and the dimension. Raises ReadError."""
    data = load(folder / HEADER, HEADER_FORMAT.size).tobytes()
    if len(data) < HEADER_FORMAT.size:
        raise ReadError("header_impossible", f"{HEADER} has {len(data)} bytes")
    header = Header(*HEADER_FORMAT.unpack(data))
    if 1 < header.version < 16:
        raise ReadError("unknown_format", f"{HEADER} is of version {header.version}")
    wrong = next(_contradictions(header, dimension), None)
    if wrong:
        raise ReadError("header_impossible", f"{HEADER}: {wrong}")
    return header


def _contradictions(header: Header, dimension: int | None) -> Iterator[str]:
    h = header
    if h.version != _VERSION:
        yield f"version {h.version}"
    if h.count > h.max_elements or h.max_elements > _MOST_ELEMENTS:
        yield f"{h.count} elements of at most {h.max_elements}"
    if not 1 <= h.m <= _MOST_LINKS or (h.max_links, h.max_links0) != (h.m, 2 * h.m):
        yield f"{h.m}, {h.max_links}, {h.max_links0} links"
    offsets = (h.level0_offset, h.vector_offset, h.element_size - h.label_offset)
    if offsets != (0, 4 + 4 * h.max_links0, _LABEL_BYTES):
        yield f"elements of {h.element_size} bytes do not add up"
    room = h.label_offset - h.vector_offset
    if room < 4 or room % 4 or (dimension and room != 4 * dimension):
        yield f"vectors of {room} bytes"
    if not -1 <= h.max_level <= _MOST_LEVELS or (h.max_level < 0) != (h.count == 0):
        yield f"{h.max_level} levels"
    factor = h.level_factor
    if not math.isfinite(factor) or (h.m > 1 and abs(factor * math.log(h.m) - 1) > 0.01):
        yield f"level factor {factor}"


def read_elements(folder: Path, header: Header, mapped: bool = False) -> Elements:
    """The elements; fewer than the header counts where the file ends before. Raises ReadError."""
    data = load(folder / LEVEL0, header.count * header.element_size, mapped)
    return _split(data, len(data) // header.element_size, header, read_lengths(folder))


def read_beyond_header(
    folder: Path, header: Header, elements: Elements, mapped: bool = False
) -> Elements:
    """The elements, and those that follow beyond the count of a header of an earlier moment.

    chromadb numbers elements and labels alike: what follows is taken as long as the labels are
    new ones, and no higher than elements would be. Raises ReadError.
    """
    size = header.element_size
    slots = file_size(folder / LEVEL0)[0] // size
    if slots <= header.count or len(elements.labels) < header.count:
        return elements
    data = load(folder / LEVEL0, slots * size, mapped)
    labels = _split(data, slots, header, None).labels
    seen = np.zeros(slots + 1, np.bool_)
    seen[labels[: header.count][labels[: header.count] <= slots].astype(np.int64)] = True
    count = header.count
    while count < slots and 0 < labels[count] <= slots and not seen[int(labels[count])]:
        seen[int(labels[count])] = True
        count += 1
    if count == header.count:
        return elements
    return _split(data, count, header, read_lengths(folder))


def guess_elements(folder: Path, dimension: int, mapped: bool = False) -> Elements | None:
    """The elements of a folder whose header is no help, by the layout the dimension implies.

    A layout is taken if nearly all the labels it shows are possible, and these different. Empty
    slots at the end are left out; chromadb 0.6.3 wrote them with whatever lay in its memory.
    Raises ReadError.
    """
    size = file_size(folder / LEVEL0)[0]
    data = load(folder / LEVEL0, size, mapped)
    for m in _USUAL_M:
        vector_offset = 4 + 8 * m
        label_offset = vector_offset + 4 * dimension
        element_size = label_offset + _LABEL_BYTES
        if size % element_size:
            continue
        header = Header(1, 0, 0, 0, element_size, label_offset, vector_offset, 0, 0, m, 2 * m, m, 0, 0)  # fmt: skip # noqa: E501
        every = _split(data, size // element_size, header, None)
        possible = (every.labels > 0) & (every.labels < 64 * len(every.labels) + 1024)
        share = np.cumsum(possible) / np.arange(1, len(possible) + 1)
        filled = np.flatnonzero(possible & (share >= _MOSTLY))
        count = int(filled[-1]) + 1 if len(filled) else 0
        labels = every.labels[:count][possible[:count]]
        if count and len(np.unique(labels)) == len(labels):
            return _split(data, count, header, read_lengths(folder))
    return None


def read_lengths(folder: Path) -> NDArray[np.float32] | None:
    """What `length.bin` holds: the norm of each vector before; None where it cannot be read."""
    try:
        size = file_size(folder / LENGTHS)[0]
        return load(folder / LENGTHS, size)[: size // 4 * 4].view(np.float32)
    except ReadError:
        return None


def _split(
    data: NDArray[np.uint8], count: int, header: Header, lengths: NDArray[np.float32] | None
) -> Elements:
    rows = data[: count * header.element_size].reshape(count, header.element_size)
    labels, flags = np.zeros(count, "<u8"), np.zeros((count, 4), np.uint8)
    for start in range(0, count, _ROWS):
        part = slice(start, start + _ROWS)
        labels[part] = rows[part, header.label_offset :].view("<u8")[:, 0]
        flags[part] = rows[part, :4]
        release(data)
    return Elements(
        labels=labels,
        deleted=(flags[:, 2] & 1).astype(np.bool_),
        link_counts=flags[:, :2].copy().view("<u2")[:, 0],
        links=rows[:, 4 : header.vector_offset].view("<u4"),
        vectors=rows[:, header.vector_offset : header.label_offset].view("<f4"),
        lengths=lengths[:count] if lengths is not None and len(lengths) >= count else None,
    )
