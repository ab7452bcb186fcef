"""Drawers whose own rows are gone while their texts are there: given back where it is certain.

The index gives labels in the order of the drawers' rows. Between two drawers that are both still
there, as many ids without a row as rows without an id are each other's. The queue names the
drawer of a text, where it still holds the operation.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from itertools import pairwise

from mempalace_toolkit.chroma.tables import DOCUMENT
from mempalace_toolkit.index.recovery.mending_drawers import last_operations
from mempalace_toolkit.index.recovery.mending_rows import Drawers
from mempalace_toolkit.index.recovery.mending_segments import Folders
from mempalace_toolkit.index.recovery.mending_tables import Tables


def give_rows_back(
    connection: sqlite3.Connection, tables: Tables, drawers: Drawers, folders: Folders
) -> None:
    """Add to the drawers what can be given back, and to the losses what cannot."""
    texts = {
        row: text
        for row, text in connection.execute(
            "select id, string_value from temp.metadata where key = ?"
            " and typeof(string_value) = 'text' and id not in (select id from temp.drawers)",
            [DOCUMENT],
        )
        if isinstance(row, int)
    }
    if not texts:
        return
    unnamed = 0
    last = last_operations(connection)
    for collection in tables.collections:
        metadata = tables.segment(collection, "METADATA")
        vector = tables.segment(collection, "VECTOR")
        rows = _rows(connection, drawers, metadata)
        labels = folders.labels(vector)
        mark = tables.watermarks.get(vector, 0)
        queued = last.get(collection, {})
        operations = {one: queued[one] for one in queued if one not in rows}
        by_text = {told.get(DOCUMENT): (one, number) for one, (number, told) in operations.items()}
        for row in [row for row, text in texts.items() if text in by_text]:
            if texts[row] not in by_text:
                continue  # of two with one text the queue names one
            drawer, number = by_text.pop(texts.pop(row))
            drawers.given_rows[row] = (metadata, drawer, number)
            rows[drawer] = row
        gone = {one for one, (number, told) in operations.items() if number > mark and not told}
        ghosts = {one: n for one, n in labels.items() if one not in rows and one not in gone}
        for drawer, row in _paired(rows, labels, ghosts, sorted(texts)).items():
            number = operations.get(drawer, (0, {}))[0]
            drawers.given_rows[row] = (metadata, drawer, number or min(mark, _near(rows, row)))
            del texts[row], ghosts[drawer]
        unnamed += len(ghosts)
    drawers.kept += len(drawers.given_rows)
    lost = min(unnamed, len(texts))
    if lost:
        drawers.lost += lost
        drawers.losses.append(f"{lost} drawers whose rows are gone, though their texts are there")


def _rows(connection: sqlite3.Connection, drawers: Drawers, segment: str) -> dict[str, int]:
    """The drawers of a segment that are kept, and their rows."""
    rows: dict[str, int] = {}
    for old in [old for old, new in drawers.segments.items() if new == segment]:
        query = "select id, embedding_id from temp.drawers where segment_id is ?"
        for row, drawer in connection.execute(query, [old]):
            if row not in drawers.dropped:
                rows[drawers.ids.get(row, str(drawer))] = row
    return rows


def _near(rows: dict[str, int], row: int) -> int:
    """A number of an operation that was surely done: at least one was for each row."""
    return max(1, min(row, len(rows)))


def _paired(
    rows: dict[str, int], labels: dict[str, int], ghosts: dict[str, int], orphans: list[int]
) -> dict[str, int]:
    """The rows of ids, where between two drawers there are as many of both."""
    fixed = sorted((rows[one], label) for one, label in labels.items() if one in rows)
    if any(first[1] > second[1] for first, second in pairwise(fixed)):
        return {}
    fixed = [(-1, -1), *fixed, (1 << 62, 1 << 62)]
    named = sorted((label, one) for one, label in ghosts.items())
    only = [label for label, _ in named]
    pairs: dict[str, int] = {}
    for (low, after), (high, before) in pairwise(fixed):
        here = orphans[bisect_left(orphans, low + 1) : bisect_left(orphans, high)]
        ids = named[bisect_left(only, after + 1) : bisect_left(only, before)]
        if here and len(here) == len(ids):
            pairs |= {one: row for (_, one), row in zip(ids, here, strict=True)}
    return pairs
