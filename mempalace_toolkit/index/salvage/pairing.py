"""Puts the map and the elements of an index together again that a live client tore apart.

A client that had an index open when that was replaced goes on writing its elements through its
open files, into the folder that was set aside, and its map by name, into the new folder. Then
the map that lies in the one folder is that of the elements in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mempalace_toolkit.chroma.segment.files import Elements, SegmentFiles, read_for_salvage
from mempalace_toolkit.chroma.segment.id_map import IdMap


def fits(elements: Elements | None, id_map: IdMap | None) -> bool:
    """Whether the map has exactly the labels of the elements that are not deleted."""
    if elements is None or id_map is None:
        return False
    labels = np.asarray(elements.labels)[~np.asarray(elements.deleted)]
    known = np.fromiter(id_map.ids, np.int64, len(id_map.ids))
    return len(labels) == len(known) and np.array_equal(np.sort(labels), np.sort(known))


def paired(files: SegmentFiles, live: Path, aside: Sequence[Path], dimension: int) -> SegmentFiles:
    """The folder's files with the map that is its elements' own.

    `live` is the collection's folder, `aside` are those of the same segment that were set
    aside. Where the map in `live` is that of elements in one of these, it is given to them,
    and `live` has none. A map that fits where it lies stays there.
    """
    if files.elements is None or fits(files.elements, files.id_map):
        return files
    if files.folder == live:
        return replace(files, id_map=None) if _is_of_another(files, aside, dimension) else files
    newer = read_for_salvage(live, dimension, mapped=True) if live.is_dir() else None
    if newer is None or fits(newer.elements, newer.id_map):
        return files
    return replace(files, id_map=newer.id_map) if fits(files.elements, newer.id_map) else files


def _is_of_another(live: SegmentFiles, aside: Sequence[Path], dimension: int) -> bool:
    if live.id_map is None:
        return False
    for folder in aside:
        other = read_for_salvage(folder, dimension, mapped=True)
        if not fits(other.elements, other.id_map) and fits(other.elements, live.id_map):
            return True
    return False
