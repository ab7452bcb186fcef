"""The drawers' rows of a mended database: which are kept, what is given back, what is lost.

A text that the table of metadata has lost is taken from the full-text index, which keeps a copy,
or from the queue, which has the last operations whole.
"""

from __future__ import annotations

import json
import sqlite3

from mempalace_toolkit.chroma.operations import WITH_VECTOR
from mempalace_toolkit.chroma.small_tables import (
    DatabaseRows,
)
from mempalace_toolkit.chroma.tables import DOCUMENT
from mempalace_toolkit.index.check.database.drawers import (
    WRONG_ID,
)
from mempalace_toolkit.index.check.database.small_tables import is_mark
from mempalace_toolkit.index.recovery.mending_metadata import take_metadata
from mempalace_toolkit.index.recovery.mending_rows import Drawers, Value
from mempalace_toolkit.index.recovery.mending_tables import Tables


def mended_drawers(connection: sqlite3.Connection, rows: DatabaseRows, tables: Tables) -> Drawers:
    """What becomes of the drawers. `name_sources` was called. Raises sqlite3.Error."""
    drawers = Drawers()
    metadata = {one: of for one, (of, scope) in tables.segments.items() if scope == "METADATA"}
    for segment in rows.drawers:
        new = tables.moved.get(segment, segment)
        if new in metadata:
            drawers.segments[segment] = str(new)
    unplaced = sum(count for one, count in rows.drawers.items() if one not in drawers.segments)
    if unplaced:
        drawers.lost += unplaced
        drawers.losses.append(f"{unplaced} drawers that are of no collection")
    _rows(connection, tables, drawers)
    last = last_operations(connection)
    for segment, collection in metadata.items():
        name = str(tables.collections[collection]["name"])
        olds = [old for old, new in drawers.segments.items() if new == segment]
        _doubles(connection, olds, drawers)
        take_metadata(connection, olds, name, drawers, last.get(collection, {}))
        drawers.kept += sum(rows.drawers[old] for old in olds)
    drawers.kept -= len(drawers.dropped)
    return drawers


def _rows(connection: sqlite3.Connection, tables: Tables, drawers: Drawers) -> None:
    """Ids that are no text, and drawers without a number."""
    unreadable = 0
    columns = "select id, segment_id, embedding_id from temp.drawers where"
    query = f"{columns} {WRONG_ID} or typeof(id) != 'integer'"
    for row, segment, drawer in connection.execute(query):
        if segment not in drawers.segments:
            continue
        try:
            text = drawer.decode() if isinstance(drawer, bytes) else str(drawer or "")
        except UnicodeDecodeError:
            text = ""
        if text:
            drawers.ids[row] = text
        else:
            drawers.dropped.add(row)
            unreadable += 1
    if unreadable:
        drawers.lost += unreadable
        drawers.losses.append(f"{unreadable} drawers whose id cannot be read")
    query = f"{columns} typeof(seq_id) not in ('integer', 'blob')"
    numberless = connection.execute(query).fetchall()
    if numberless:
        last = last_operations(connection)
        lowest = min(tables.watermarks.values(), default=0)
        for row, segment, drawer in numberless:
            collection = tables.segments.get(drawers.segments.get(segment, ""), ("", ""))[0]
            entry = last.get(collection, {}).get(str(drawer))
            drawers.sequences[row] = entry[0] if entry else lowest


def last_operations(
    connection: sqlite3.Connection,
) -> dict[str, dict[str, tuple[int, dict[str, Value]]]]:
    """The last operation of each drawer in the queue with its metadata, by collection."""
    last: dict[str, dict[str, tuple[int, dict[str, Value]]]] = {}
    query = "select seq_id, operation, topic, id, metadata from temp.queue order by seq_id"
    for sequence, operation, topic, drawer, text in connection.execute(query):
        if not (isinstance(topic, str) and isinstance(drawer, str) and is_mark(sequence)):
            continue
        try:
            metadata = json.loads(text) if isinstance(text, str) else {}
        except (ValueError, RecursionError):
            metadata = {}
        whole = operation in WITH_VECTOR and isinstance(metadata, dict)
        told = (
            {k: v for k, v in metadata.items() if type(v) in (str, int, float, bool)}
            if whole
            else {}
        )
        last.setdefault(topic.rpartition("/")[2], {})[drawer] = (int(sequence), told)
    return last


def _doubles(connection: sqlite3.Connection, olds: list[object], drawers: Drawers) -> None:
    """Of rows with one id that is kept which has a text, then the last written, then the first."""
    marks = ", ".join("?" * len(olds))
    query = (
        "select d.embedding_id, d.id, d.seq_id, (select string_value from temp.metadata m"  # noqa: S608
        f" where m.id = d.id and m.key = ?) from temp.drawers d where segment_id in ({marks})"
        f" and embedding_id in (select embedding_id from temp.drawers where segment_id in ({marks})"
        " group by embedding_id having count(*) > 1)"
    )
    found: dict[object, list[tuple[bool, int, int, object]]] = {}
    for drawer, row, sequence, text in connection.execute(query, [DOCUMENT, *olds, *olds]):
        if row not in drawers.dropped and isinstance(row, int):
            number = sequence if isinstance(sequence, int) else 0
            found.setdefault(drawer, []).append((text is not None, number, -row, text))
    differing = 0
    for same in found.values():
        same.sort(key=lambda one: one[:3])
        kept = same[-1]
        drawers.dropped |= {-row for _, _, row, _ in same[:-1]}
        differing += any(text is not None and text != kept[3] for _, _, _, text in same[:-1])
    if differing:
        drawers.losses.append(f"the other text of {differing} drawers that stand twice")
