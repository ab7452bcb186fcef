"""Copies the vectors of a segment into memory, a block of its file at a time.

No file stays open or mapped afterwards, and what is copied is all the memory that it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.segment.bounded_read import SLACK, ReadError, file_size
from mempalace_toolkit.chroma.segment.elements import LEVEL0, Header

_DELETED_AT = 2  # the third byte of an element; its lowest bit is the flag


@dataclass(frozen=True, slots=True)
class ElementBlock:
    """Some elements in the order of the file: labels, flags, and vectors as they are stored."""

    labels: NDArray[np.uint64]
    deleted: NDArray[np.bool_]
    vectors: NDArray[np.float32]


def element_blocks(folder: Path, header: Header, rows: int) -> Iterator[ElementBlock]:
    """All elements that the header counts, `rows` at a time.

    Raises ReadError where the file is missing, too short, or has large holes.
    """
    path, size = folder / LEVEL0, header.element_size
    length, held = file_size(path)
    wanted = header.count * size
    if length < wanted:
        raise ReadError(
            "level0_short", f"{LEVEL0} holds {length // size} of {header.count} elements"
        )
    if wanted > 4 * held + SLACK:
        raise ReadError("sparse_bloat", f"{LEVEL0}: {length} bytes, of which {held} are on disk")
    try:
        with path.open("rb", buffering=0) as file:
            for start in range(0, header.count, rows):
                yield _next_block(file, header, min(rows, header.count - start))
    except OSError as error:
        raise ReadError("file_missing", f"{LEVEL0}: {error.strerror or error}") from error


def _next_block(file: object, header: Header, rows: int) -> ElementBlock:
    data = np.fromfile(file, np.uint8, rows * header.element_size)  # type: ignore[call-overload]
    if len(data) < rows * header.element_size:
        raise ReadError("level0_short", f"{LEVEL0} was cut while it was read")
    elements = data.reshape(rows, header.element_size)
    vectors = elements[:, header.vector_offset : header.label_offset]
    return ElementBlock(
        labels=np.ascontiguousarray(elements[:, header.label_offset :]).view("<u8")[:, 0],
        deleted=(elements[:, _DELETED_AT] & 1).astype(np.bool_),
        vectors=np.ascontiguousarray(vectors).view("<f4"),
    )
