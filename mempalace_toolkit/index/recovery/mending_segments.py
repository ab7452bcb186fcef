"""Segments of a mended database: which rows of drawers and which index folder a collection has."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path

from mempalace_toolkit.chroma.segment.files import read_segment
from mempalace_toolkit.chroma.small_tables import DatabaseRows, quoted
from mempalace_toolkit.index.check.database.small_tables import (
    is_identity,
)
from mempalace_toolkit.index.evidence.folders import segment_folders
from mempalace_toolkit.index.recovery.mending_collections import (
    segments_of,
)
from mempalace_toolkit.index.recovery.mending_tables import Tables
from mempalace_toolkit.palace.segment_names import QUARANTINED_NAME


class Folders:
    """The index folders of a palace, and the ids of the drawers in them."""

    def __init__(self, palace: Path) -> None:
        self.palace = palace
        self.names: dict[str, list[str]] = {}
        for name in segment_folders(palace):
            aside = QUARANTINED_NAME.fullmatch(name)
            own = self.names.setdefault(aside[1] if aside else name, [])
            own.insert(len(own) if aside else 0, name)
        self._labels: dict[str, dict[str, int]] = {}

    def labels(self, segment: str) -> dict[str, int]:
        """The ids that the newest readable folder of the segment has, and their labels."""
        if segment not in self._labels:
            self._labels[segment] = {}
            for name in self.names.get(segment, []):
                files = read_segment(self.palace / name, None)
                if files.id_map is not None and files.id_map.labels:
                    self._labels[segment] = dict(files.id_map.labels)
                    break
        return self._labels[segment]


def _drawer_ids(connection: sqlite3.Connection, rows: DatabaseRows, segment: object) -> set[str]:
    source = rows.sources.get("embeddings")
    if source is None:
        return set()
    query = f"select embedding_id from {quoted(source)} where segment_id is ?"  # noqa: S608
    return {str(drawer) for (drawer,) in connection.execute(query, [segment])}


def take_metadata_segments(
    connection: sqlite3.Connection,
    rows: DatabaseRows,
    tables: Tables,
    folders: Folders,
    queued: dict[str, dict[str, int]],
) -> None:
    """The segment that has the drawers: the one named, else the one whose drawers the index has."""
    named = {
        one["id"]
        for one in rows.segments
        if one["scope"] == "METADATA" and one["collection"] in tables.collections
    }
    loose = [segment for segment in rows.drawers if segment not in named]
    lacking = []
    for collection in tables.collections:
        own = [one["id"] for one in segments_of(rows, collection) if one["scope"] == "METADATA"]
        if not own:
            lacking.append(collection)
            continue
        own.sort(key=lambda one: (-rows.drawers.get(one, 0), not is_identity(one)))
        _take_drawers(tables, collection, own[0], own)
    for collection in lacking:
        known = _known_ids(rows, tables, folders, queued, collection)
        scored = [(len(known & _drawer_ids(connection, rows, one)), one) for one in loose]
        best = max(scored, key=lambda pair: pair[0], default=(0, None))
        if best[0] or (len(loose) == len(lacking) == 1):
            segment = best[1] if best[0] else loose[0]
            loose.remove(segment)
            _take_drawers(tables, collection, segment, [segment])
        else:
            tables.segments[str(uuid.uuid4())] = (collection, "METADATA")
    for segment in loose:
        ids = _drawer_ids(connection, rows, segment)
        for collection in tables.collections:
            if ids & _known_ids(rows, tables, folders, queued, collection):
                tables.moved[segment] = tables.segment(collection, "METADATA")
                break


def _take_drawers(tables: Tables, collection: str, first: object, others: Sequence[object]) -> None:
    name = str(first)
    if not is_identity(first) or name in tables.segments:
        name = str(uuid.uuid4())
    tables.segments[name] = (collection, "METADATA")
    tables.moved |= {one: name for one in others if one != name}


def _known_ids(
    rows: DatabaseRows,
    tables: Tables,
    folders: Folders,
    queued: dict[str, dict[str, int]],
    collection: str,
) -> set[str]:
    ids = set(queued.get(collection, ()))
    for one in segments_of(rows, collection):
        if one["scope"] == "VECTOR" and is_identity(one["id"]):
            ids |= folders.labels(str(one["id"])).keys()
    return ids


def take_vector_segments(
    connection: sqlite3.Connection, rows: DatabaseRows, tables: Tables, folders: Folders
) -> None:
    """The segment that names the index's folder: the one named, else one whose drawers it has."""
    marks = {row["segment_id"] for row in rows.watermarks}
    named = {
        str(one["id"])
        for one in rows.segments
        if one["scope"] == "VECTOR" and one["collection"] in tables.collections
    }
    loose = [one for one in folders.names if one not in named and one not in tables.segments]
    lacking = []
    for collection in list(tables.collections):
        own = [
            str(one["id"])
            for one in segments_of(rows, collection)
            if one["scope"] == "VECTOR"
            and is_identity(one["id"])
            and one["id"] not in tables.segments
        ]
        if own:
            own.sort(key=lambda one: (one not in folders.names, one not in marks))
            tables.segments[own[0]] = (collection, "VECTOR")
        else:
            lacking.append(collection)
    for collection in lacking:
        drawers = _drawer_ids(connection, rows, tables.segment(collection, "METADATA"))
        for old, new in tables.moved.items():
            if new == tables.segment(collection, "METADATA"):
                drawers |= _drawer_ids(connection, rows, old)
        scored = [(len(drawers & folders.labels(one).keys()), one) for one in loose]
        best = max(scored, default=(0, ""))
        alone = len(loose) == len(lacking) == 1 and not folders.labels(loose[0])
        segment = best[1] if best[0] or alone else str(uuid.uuid4())
        if segment in loose:
            loose.remove(segment)
        tables.segments[segment] = (collection, "VECTOR")
