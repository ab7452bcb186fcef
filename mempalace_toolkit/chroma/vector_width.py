"""How wide a collection's vectors are, as its index's files and its queue tell."""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mempalace_toolkit.chroma.small_tables import quoted
from mempalace_toolkit.palace.segment_names import SEGMENT_NAME

_OFFSETS = struct.Struct("<QQQ")
_AT, _LABEL = 28, 8
_WIDEST = 1 << 16


def vector_width(
    palace: Path,
    connection: sqlite3.Connection,
    sources: Mapping[str, str],
    collection: str,
    segment: str,
) -> int | None:
    """The width on which both agree, or the one that tells; None where they differ or say none."""
    told = {_of_index(palace, segment), _of_queue(connection, sources, collection)} - {None}
    return told.pop() if len(told) == 1 else None


def _of_index(palace: Path, segment: str) -> int | None:
    if not SEGMENT_NAME.fullmatch(segment):
        return None
    try:
        with (palace / segment / "header.bin").open("rb") as file:
            size, label, vector = _OFFSETS.unpack(file.read(_AT + _OFFSETS.size)[_AT:])
    except (OSError, struct.error):
        return None
    width = (label - vector) // 4
    consistent = label == vector + 4 * width and size == label + _LABEL and vector >= 4
    return width if consistent and 0 < width < _WIDEST else None


def _of_queue(
    connection: sqlite3.Connection, sources: Mapping[str, str], collection: str
) -> int | None:
    if "embeddings_queue" not in sources:
        return None
    query = (
        f"select length(vector), count(*) from {quoted(sources['embeddings_queue'])}"  # noqa: S608
        " where typeof(vector) = 'blob' and topic like '%/' || ? group by 1"
    )
    widths: Counter[int] = Counter()
    for length, count in connection.execute(query, [collection]):
        if length and length % 4 == 0:
            widths[length // 4] += count
    most = widths.most_common(1)
    return most[0][0] if most else None
