"""Texts and metadata of a mended database's drawers: what is lost, and what is given back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from mempalace_toolkit.chroma.tables import DOCUMENT
from mempalace_toolkit.index.check.database.drawers import (
    MINED,
    USUAL,
    WRONG_VALUE,
    has_texts,
    missing_keys,
)
from mempalace_toolkit.index.recovery.mending_rows import Drawers, Value

UNKNOWN = "unknown"
"""What MemPalace shows as wing or room of a drawer that has none."""


def take_metadata(
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
        if row in drawers.dropped:
            continue
        for key in keys:
            value = metadata.get(key, _only_readable(connection, row, key))
            if value is not None and not (key == DOCUMENT and row in drawers.copied):
                drawers.given.setdefault(row, {}).setdefault(key, value)
        partial += bool({*keys} - {DOCUMENT} - drawers.given.get(row, {}).keys())
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
    """The keys, by drawer, whose values cannot be read. A text counts where the row has it, and
    another value beside it; others are looked after by `_held`."""
    marks = ", ".join("?" * len(olds))
    query = (
        f"select id, key from temp.metadata where ({WRONG_VALUE}) and typeof(key) = 'text'"  # noqa: S608
        " and (key != ? or typeof(string_value) = 'text')"
        f" and id in (select id from temp.drawers where segment_id in ({marks}))"
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
