"""The files of one vector segment as values: header, elements, links, lengths, map of ids.

Whatever the bytes are, nothing but problems comes of them: sizes are compared with the files
before anything is read, holes of sparse files are never walked, nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.segment.bounded_read import (
    SLACK,
    Problem,
    ReadError,
    file_size,
    load,
    release,
)
from mempalace_toolkit.chroma.segment.elements import (
    HEADER,
    LENGTHS,
    LEVEL0,
    Elements,
    Header,
    guess_elements,
    read_beyond_header,
    read_elements,
    read_header,
)
from mempalace_toolkit.chroma.segment.id_map import (
    IdMap,
    OlderFormatError,
    PickleError,
    RepeatedLabelError,
    parse_id_map,
)

__all__ = [
    "FILES",
    "Elements",
    "Header",
    "IdMap",
    "Problem",
    "SegmentFiles",
    "is_cut",
    "read_for_salvage",
    "read_id_map",
    "read_segment",
]

LINK_LISTS, PICKLE = "link_lists.bin", "index_metadata.pickle"
_ROWS = 1 << 14
FILES = (HEADER, LEVEL0, LINK_LISTS, LENGTHS, PICKLE)


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """What a segment folder holds: each value, or None with a problem that says why.

    `upper_links` is `link_lists.bin` in words of four bytes. Where `header` is None,
    `elements` may still be there, read by the layout that the dimension implies: for salvage.
    """

    folder: Path
    header: Header | None
    elements: Elements | None
    id_map: IdMap | None
    problems: tuple[Problem, ...]
    upper_links: NDArray[np.uint32] | None = None


def read_segment(folder: Path, dimension: int | None, mapped: bool = False) -> SegmentFiles:
    """Read a segment folder; whatever its bytes are, nothing but problems comes of it.

    Without a `dimension` the header's own is taken. `mapped` elements stay in their file, as
    `load` says. Raises MempalaceError where the system
    refuses to read a file that is there.
    """
    problems: list[Problem] = []
    header = elements = upper = id_map = None
    try:
        header = read_header(folder, dimension)
    except ReadError as error:
        problems.append(error.problem)
    try:
        if header is not None:
            elements = read_elements(folder, header, mapped)
            problems.extend(_size_problems(folder, header))
        elif dimension:
            elements = guess_elements(folder, dimension, mapped)
    except ReadError as error:
        problems.append(error.problem)
    try:
        upper = _read_upper_links(folder, header)
    except ReadError as error:
        problems.append(error.problem)
    try:
        id_map = read_id_map(folder)
    except ReadError as error:
        problems.append(error.problem)
    problems.extend(_allocated_beyond_end(folder))
    return SegmentFiles(folder, header, elements, id_map, tuple(problems), upper)


def read_for_salvage(folder: Path, dimension: int, mapped: bool = False) -> SegmentFiles:
    """Read a segment folder with all elements that its data file holds.

    A header of an earlier moment counts too few of them; see read_segment.
    """
    files = read_segment(folder, dimension, mapped)
    if files.header is None or files.elements is None:
        return files
    try:
        elements = read_beyond_header(folder, files.header, files.elements, mapped)
    except ReadError:  # told when the file was read
        return files
    return replace(files, elements=elements)


def is_cut(files: SegmentFiles) -> bool:
    """Whether the data file lacks elements that it once had, rather than never having had them.

    Elements that were cut off are still what others link to; a file of an earlier moment links
    to none of them.
    """
    if files.header is None or files.elements is None:
        return False
    elements, count = files.elements, files.header.count
    there = len(elements.labels)
    if there >= count:
        return False
    linked = np.zeros(count, np.bool_)
    for start in range(0, there, _ROWS):
        part = slice(start, start + _ROWS)
        links = np.asarray(elements.links[part])
        given = np.arange(links.shape[1]) < np.asarray(elements.link_counts[part])[:, None]
        linked[links[given & (links < count)]] = True
        release(elements.links)
    return 2 * int(np.count_nonzero(linked[there:])) > count - there


def _size_problems(folder: Path, header: Header) -> list[Problem]:
    """What the sizes alone say: too short to hold the elements, or far too long."""
    problems = []
    for name, element in ((LEVEL0, header.element_size), (LENGTHS, 4)):
        try:
            size = file_size(folder / name)[0]
        except ReadError as error:
            if name != LEVEL0:  # that one was told when it was read
                problems.append(error.problem)
            continue
        if size < header.count * element:
            held = f"{name} holds {size // element} of {header.count} elements"
            problems.append(Problem("level0_short", held))
        # chromadb before 1.5 keeps a slot for all that may come, at least 10,000 of them.
        if size > 2 * max(header.max_elements, 100) * element + SLACK:
            far = f"{name}: {size} bytes for at most {header.max_elements} elements"
            problems.append(Problem("sparse_bloat", far))
    return problems


def _allocated_beyond_end(folder: Path) -> Iterator[Problem]:
    """Files that take far more of the disk than they are long, as preallocation leaves them.

    Filesystems may allocate ahead of a growing file, XFS as much again as it is long.
    """
    for name in FILES:
        try:
            size, held = file_size(folder / name)
        except ReadError:  # told when it was read
            continue
        if held > 4 * size + 16 * SLACK:
            message = f"{name} is {size} bytes long and takes {held} bytes of the disk"
            yield Problem("sparse_bloat", message)


def _read_upper_links(folder: Path, header: Header | None) -> NDArray[np.uint32] | None:
    size = file_size(folder / LINK_LISTS)[0]
    if header is None:
        return None
    # An element has one level above 0 for M elements on it, on average.
    usual = 4 * header.count + 2 * header.count * (4 + 4 * header.m)
    if size > 2 * usual + SLACK:
        raise ReadError("sparse_bloat", f"{LINK_LISTS}: {size} bytes for {header.count} elements")
    return load(folder / LINK_LISTS, size // 4 * 4).view(np.uint32)


def read_id_map(folder: Path) -> IdMap:
    """The map of ids and labels in a segment folder. Raises ReadError."""
    try:
        size = file_size(folder / PICKLE)[0]
    except ReadError as error:
        raise ReadError("pickle_missing", error.problem.message) from error
    try:
        return parse_id_map(load(folder / PICKLE, size).tobytes())
    except OlderFormatError as error:
        raise ReadError("unknown_format", f"{PICKLE}: {error}") from error
    except RepeatedLabelError as error:
        raise ReadError("labels_repeated", f"{PICKLE}: {error}") from error
    except PickleError as error:
        raise ReadError("pickle_unreadable", f"{PICKLE}: {error}") from error
