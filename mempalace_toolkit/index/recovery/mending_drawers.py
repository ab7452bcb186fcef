"""The drawers' rows of a mended database: which are kept, what is given back, what is lost.

A text that the table of metadata has lost is taken from the full-text index, which keeps a copy,
or from the queue, which has the last operations whole.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mempalace_toolkit.chroma.operations import WITH_VECTOR
from mempalace_toolkit.chroma.small_tables import (
    COLUMNS,
    OPTIONAL,
    DatabaseRows,
    quoted,
    selection,
)
from mempalace_toolkit.chroma.tables import DOCUMENT
from mempalace_toolkit.index.check.database.drawers import (
    MINED,
    USUAL,
    WRONG_ID,
    WRONG_VALUE,
    has_texts,
    missing_keys,
)
from mempalace_toolkit.index.check.database.fulltext import TABLE as WORDS
from mempalace_toolkit.index.check.database.small_tables import is_mark
from mempalace_toolkit.index.recovery.mending import Tables

UNKNOWN = "unknown"
"""What MemPalace shows as wing or room of a drawer that has none."""

Value = str | int | float | bool


@dataclass(slots=True)
class Drawers:
    """`segments` gives each old segment's new name. `dropped` rows are not taken over; `ids` and
    `sequences` replace unreadable ones; `copied` take their text from the full-text index, and
    `given` get metadata, text among them, that they lack; `given_rows` are drawers whose own rows
    are gone: segment, id, number of an operation. Rows are known by their number."""

    segments: dict[object, str] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    ids: dict[int, str] = field(default_factory=dict)
    sequences: dict[int, int] = field(default_factory=dict)
    copied: set[int] = field(default_factory=set)
    given: dict[int, dict[str, Value]] = field(default_factory=dict)
    given_rows: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    kept: int = 0
    lost: int = 0
    partial: int = 0
    losses: list[str] = field(default_factory=list)


def mended_drawers(connection: sqlite3.Connection, rows: DatabaseRows, tables: Tables) -> Drawers:
    """What becomes of the drawers. `name_sources` was called. Raises sqlite3.Error."""
    drawers = Drawers()
    metadata = {one: of for one, (of, scope) in tables.segments.items() if scope == "METADATA"}
    for segment in rows.drawers:
        new = tables.moved.get(segment, segment)
        if new in metadata:
            drawers.segments[segment] = str(new)
    _rows(connection, tables, drawers)
    last = last_operations(connection)
    for segment, collection in metadata.items():
        name = str(tables.collections[collection]["name"])
        olds = [old for old, new in drawers.segments.items() if new == segment]
        _doubles(connection, olds, drawers)
        _metadata(connection, olds, name, drawers, last.get(collection, {}))
        drawers.kept += sum(rows.drawers[old] for old in olds)
    drawers.kept -= len(drawers.dropped)
    return drawers


def name_sources(connection: sqlite3.Connection, rows: DatabaseRows) -> None:
    """Give the large tables, whatever they are called now, the names that are used here.

    The views are in memory; the file stays as it is.
    """
    connection.execute("pragma query_only = 0")
    for view, table in (
        ("drawers", "embeddings"),
        ("metadata", "embedding_metadata"),
        ("queue", "embeddings_queue"),
    ):
        columns = (*COLUMNS[table], *OPTIONAL.get(table, ()))
        source = rows.sources.get(table)
        if source is None:
            chosen = ", ".join(f"null as {quoted(one)}" for one in columns)
            query = f"select {chosen} where 0"
        else:
            query = f"select {selection(connection, table, source)} from main.{quoted(source)}"  # noqa: S608
        _view(connection, view, query)
    names = {str(name) for (name,) in connection.execute("select name from sqlite_master")}
    readable = f"{WORDS}_content" in names
    words = f"select id, c0 from main.{WORDS}_content"  # noqa: S608
    query = words if readable else "select 0 as id, '' as c0 where 0"
    _view(connection, "words", query)
    connection.execute("pragma query_only = 1")


def _view(connection: sqlite3.Connection, name: str, query: str) -> None:
    connection.execute(f"drop view if exists temp.{name}")
    connection.execute(f"create temp view {name} as {query}")


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


def _metadata(
    connection: sqlite3.Connection,
    olds: list[object],
    name: str,
    drawers: Drawers,
    last: Mapping[str, tuple[int, dict[str, Value]]],
) -> None:
    total = bare_drawers = 0
    held = dict.fromkeys((DOCUMENT, *USUAL), 0)
    lacking: list[tuple[int, str, int, object, bool, bool]] = []
    for row, drawer, sequence, text, words, others, mined, *usual in _held(connection, olds):
        if row in drawers.dropped:
            continue
        total += 1
        bare_drawers += not others
        held[DOCUMENT] += text is not None
        for key, has in zip(USUAL, usual, strict=True):
            held[key] += bool(has)
        lost_text = text is None or (text == "" and isinstance(words, str) and words != "")
        partial_loss = not others or (mined and not all(usual))
        if lost_text or partial_loss:
            given = words if lost_text else ""
            lacking.append((row, drawer, sequence, given, lost_text, bool(partial_loss)))
    damaged = _wrong_values(connection, olds, drawers)
    if not lacking and not damaged:
        return
    wanted = missing_keys(name, total, bare_drawers, *(held[key] for key in USUAL))
    with_text = has_texts(name, total, held[DOCUMENT])
    textless = partial = 0
    for row, drawer, sequence, words, lost_text, bare in lacking:
        told = last.get(drawer, (-1, {}))
        metadata = told[1] if told[0] == sequence else {}
        if lost_text and isinstance(words, str):
            drawers.copied.add(row)
        elif lost_text and DOCUMENT in metadata:
            drawers.given.setdefault(row, {})[DOCUMENT] = metadata[DOCUMENT]
        elif lost_text and with_text:
            drawers.dropped.add(row)
            textless += 1
            continue
        lost = wanted if bare else ()
        partial += _given_back(connection, row, metadata, lost, drawers)
    for row, keys in damaged.items():
        drawer, number = _identity(connection, row)
        told = last.get(drawer, (-1, {}))
        metadata = told[1] if told[0] == number else {}
        for key in keys:
            value = metadata.get(key, _only_readable(connection, row, key))
            if value is not None:
                drawers.given.setdefault(row, {}).setdefault(key, value)
        partial += any(key not in drawers.given.get(row, {}) for key in keys)
    if textless:
        drawers.lost += textless
        drawers.losses.append(f"{textless} drawers of {name}, whose text is gone")
    if partial:
        drawers.partial += partial
        drawers.losses.append(f"metadata of {partial} drawers of {name}")


def _held(
    connection: sqlite3.Connection, olds: list[object]
) -> Iterator[tuple[int, str, int, object, object, int, bool, bool, bool]]:
    """For each drawer its row, id and number; its text, the one in the full-text index, how many
    other metadata it has, whether MemPalace mined it, and whether it has the usual ones."""
    marks = ", ".join("?" * len(olds))
    query = (
        "select d.id, d.embedding_id, d.seq_id, h.text, w.c0, coalesce(h.others, 0),"  # noqa: S608
        " coalesce(h.mined, 0), coalesce(h.wing, 0), coalesce(h.room, 0) from temp.drawers d"
        " left join (select id, max(case when key = ? then case typeof(string_value) when 'text'"
        " then string_value end end) as text, total(key != ?) as others, max(key = ?) as mined,"
        " max(key = ?) as wing, max(key = ?) as room from temp.metadata group by id) h"
        " on h.id = d.id"
        f" left join temp.words w on w.id = d.id where d.segment_id in ({marks})"
    )
    yield from connection.execute(query, [DOCUMENT, DOCUMENT, MINED, *USUAL, *olds])


def _wrong_values(
    connection: sqlite3.Connection, olds: list[object], drawers: Drawers
) -> dict[int, list[str]]:
    """The keys, by drawer, whose values cannot be read; texts are looked after for themselves."""
    marks = ", ".join("?" * len(olds))
    query = (
        f"select id, key from temp.metadata where ({WRONG_VALUE}) and typeof(key) = 'text'"  # noqa: S608
        f" and key != ? and id in (select id from temp.drawers where segment_id in ({marks}))"
    )
    wrong: dict[int, list[str]] = {}
    for row, key in connection.execute(query, [DOCUMENT, *olds]):
        if row not in drawers.dropped:
            wrong.setdefault(row, []).append(key)
    return wrong


def _only_readable(connection: sqlite3.Connection, row: int, key: str) -> Value | None:
    """The one value of those in a row's columns that has its column's type; None unless one."""
    query = (
        "select string_value, int_value, float_value, bool_value from temp.metadata"
        " where id = ? and key = ?"
    )
    held: list[Value] = []
    for text, whole, real, truth in connection.execute(query, [row, key]):
        text = _text_of(text) if isinstance(text, bytes) else text
        held += [text] if isinstance(text, str) else []
        held += [whole] if isinstance(whole, int) else []
        held += [real] if isinstance(real, float) else []
        held += [bool(truth)] if isinstance(truth, int) else []
    return held[0] if len(held) == 1 else None


def _text_of(data: bytes) -> str | None:
    """The text that was stored as bytes; None where they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _identity(connection: sqlite3.Connection, row: int) -> tuple[str, object]:
    query = "select embedding_id, seq_id from temp.drawers where id = ?"
    drawer, sequence = connection.execute(query, [row]).fetchone()
    return str(drawer), sequence


def _given_back(
    connection: sqlite3.Connection,
    row: int,
    metadata: Mapping[str, Value],
    wanted: tuple[str, ...],
    drawers: Drawers,
) -> bool:
    """Give a drawer the metadata that the queue has of it; whether some stay unknown."""
    there = {
        key for (key,) in connection.execute("select key from temp.metadata where id = ?", [row])
    }
    missing = {
        key: value for key, value in metadata.items() if key not in there and key != DOCUMENT
    }
    if missing:
        drawers.given.setdefault(row, {}).update(missing)
    bare = not metadata and there <= {DOCUMENT} and bool(wanted)
    unknown = [key for key in wanted if key not in there and key not in missing]
    for key in unknown:
        drawers.given.setdefault(row, {})[key] = UNKNOWN
    return bool(unknown) or bare
