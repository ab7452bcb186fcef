"""What a mended database holds: the rows of the damaged one, and what chromadb needs beside them.

Reads only. What the tables have lost is taken from what still tells it: the index's folders, the
queue, the other tables. What nothing tells is counted as a loss, which a person must accept.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mempalace_toolkit.chroma.collection_settings import lost_metadata, mended_settings
from mempalace_toolkit.chroma.segment.files import read_segment
from mempalace_toolkit.chroma.sequences import sequence_number
from mempalace_toolkit.chroma.small_tables import DatabaseRows, Record, quoted
from mempalace_toolkit.chroma.vector_width import vector_width
from mempalace_toolkit.index.check.database.small_tables import (
    DATABASE,
    DATABASE_ID,
    MEMPALACE,
    TENANT,
    is_identity,
    is_mark,
    is_queue_setting,
)
from mempalace_toolkit.index.evidence.folders import segment_folders
from mempalace_toolkit.palace.segment_names import QUARANTINED_NAME, SEGMENT_NAME

_NAMES = ("mempalace_drawers", "mempalace_closets")


@dataclass(slots=True)
class Tables:
    """The small tables of the mended database, as rows to insert; `moved` are the segments whose
    drawers get another one; `losses` what nothing tells any more."""

    tenants: list[str] = field(default_factory=list)
    databases: list[tuple[str, str, str]] = field(default_factory=list)
    collections: dict[str, dict[str, object]] = field(default_factory=dict)
    settings: list[tuple[object, ...]] = field(default_factory=list)
    segments: dict[str, tuple[str, str]] = field(default_factory=dict)
    watermarks: dict[str, int] = field(default_factory=dict)
    queue_settings: list[str] = field(default_factory=list)
    moved: dict[object, str] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)

    def segment(self, collection: str, scope: str) -> str:
        """The collection's segment of that scope."""
        return next(one for one, of in self.segments.items() if of == (collection, scope))


def mended_tables(
    palace: Path, connection: sqlite3.Connection, rows: DatabaseRows, folders: Folders
) -> Tables:
    """What the small tables should hold. Raises sqlite3.Error."""
    tables = Tables()
    _databases(rows, tables)
    _collections(rows, tables)
    queued = _queued(connection, rows)
    _metadata_segments(connection, rows, tables, folders, queued)
    _vector_segments(connection, rows, tables, folders)
    _dimensions(palace, connection, rows, tables)
    _watermarks(palace, connection, rows, tables, queued)
    texts = (row["config_json_str"] for row in rows.queue_settings)
    tables.queue_settings = [str(text) for text in texts if is_queue_setting(text)][:1]
    return tables


def _databases(rows: DatabaseRows, tables: Tables) -> None:
    """The default database has a fixed id, by which its name and tenant are known."""
    usual = any(row["name"] == DATABASE and row["tenant_id"] == TENANT for row in rows.databases)
    for row in rows.databases:
        found = (row["id"], row["name"], row["tenant_id"])
        if found[0] == DATABASE_ID and not usual:
            found = (DATABASE_ID, DATABASE, TENANT)
        taken = {(tenant, name) for _, name, tenant in tables.databases}
        ids = {one for one, _, _ in tables.databases}
        named = all(isinstance(value, str) and value for value in found)
        if named and (found[2], found[1]) not in taken and found[0] not in ids:
            tables.databases.append((str(found[0]), str(found[1]), str(found[2])))
    if not any(row[1:] == (DATABASE, TENANT) for row in tables.databases):
        tables.databases.append((DATABASE_ID, DATABASE, TENANT))
    own = [row["id"] for row in rows.tenants if isinstance(row["id"], str) and row["id"]]
    tables.tenants = list(
        dict.fromkeys([TENANT, *map(str, own), *(t for _, _, t in tables.databases)])
    )


def _collections(rows: DatabaseRows, tables: Tables) -> None:
    lost = _lost_collections(rows)
    nameless = [row for row in rows.collections if not _segments_of(rows, row["id"])]
    alone = len(lost) == len(nameless) == 1
    renamed = {nameless[0]["id"]: lost.pop()} if alone else {}
    for row in rows.collections:
        identity = str(renamed.get(row["id"], row["id"]))
        if is_identity(identity) and identity not in tables.collections:
            _add_collection(rows, tables, identity, row)
    for identity in lost:
        _add_collection(rows, tables, identity, {})


def _lost_collections(rows: DatabaseRows) -> list[str]:
    """Collections that segments with drawers name, and that have no row; the largest first."""
    known = {row["id"] for row in rows.collections}
    counted: Counter[str] = Counter()
    for row in rows.segments:
        if row["collection"] not in known and is_identity(row["collection"]):
            counted[str(row["collection"])] += rows.drawers.get(row["id"], 0)
    return [identity for identity, count in counted.most_common() if count]


def _segments_of(rows: DatabaseRows, collection: object) -> list[Record]:
    return [one for one in rows.segments if one["collection"] == collection]


def _add_collection(rows: DatabaseRows, tables: Tables, identity: str, row: Record) -> None:
    default = next(one for one, *name in tables.databases if name == [DATABASE, TENANT])
    database = row.get("database_id")
    known = {one for one, _, _ in tables.databases}
    taken = {(one["database_id"], one["name"]) for one in tables.collections.values()}
    name = row.get("name")
    if not isinstance(name, str) or not name:
        free = [one for one in _NAMES if (default, one) not in taken]
        name = free[0] if free else f"recovered_{identity[:8]}"
        tables.losses.append(f"the name of a collection, which becomes {name}")
    if database not in known:
        database = default
        if (default, name) in taken or any(
            one["name"] == name and one["database_id"] == default for one in rows.collections
        ):
            database = str(row.get("database_id") or uuid.uuid4())
            tables.databases.append((database, f"recovered_{database[:8]}", TENANT))
    if (database, name) in taken:
        name = f"{name}_{identity[:8]}"
        tables.losses.append(f"the name of a collection, which becomes {name}")
    settings = _valid_settings(rows, row.get("id", identity), identity)
    metadata = {str(one[1]): next((v for v in one[2:] if v is not None), None) for one in settings}
    configuration, schema, whole = mended_settings(
        row.get("config_json_str"), row.get("schema_str"), metadata
    )
    if not row or (not whole and "hnsw:space" not in metadata):
        if not whole:
            tables.losses.append(f"the settings of the collection {name}")
        if name.startswith(MEMPALACE) and "hnsw:space" not in metadata and schema is None:
            metadata["hnsw:space"] = "cosine"
            settings.append((identity, "hnsw:space", "cosine", None, None, None))
            configuration, schema, _ = mended_settings(None if not row else "", "", metadata)
    if not settings and name.startswith(MEMPALACE):
        for key, value in lost_metadata(configuration, schema).items():
            number = value if type(value) is int else None
            settings.append((identity, key, value if number is None else None, number, None, None))
    tables.settings += settings
    tables.collections[identity] = {
        "id": identity,
        "name": name,
        "dimension": row.get("dimension"),
        "database_id": database,
        "config_json_str": configuration,
        "schema_str": schema,
    }


def _valid_settings(rows: DatabaseRows, named: object, identity: str) -> list[tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for one in rows.settings:
        values = (one["str_value"], one["int_value"], one["float_value"], one["bool_value"])
        own = one["collection_id"] in (named, identity) and isinstance(one["key"], str)
        if own and sum(value is not None for value in values) == 1 and _fits(values):
            found.setdefault(str(one["key"]), (identity, one["key"], *values))
    return list(found.values())


def _fits(values: Sequence[object]) -> bool:
    kinds = (str, int, float, int)
    return all(v is None or type(v) is kind for v, kind in zip(values, kinds, strict=True))


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


def _queued(connection: sqlite3.Connection, rows: DatabaseRows) -> dict[str, dict[str, int]]:
    """The queue's drawers by collection, and the number of each one's first operation."""
    queued: dict[str, dict[str, int]] = {}
    source = rows.sources.get("embeddings_queue")
    if source is None:
        return queued
    query = f"select topic, id, seq_id from {quoted(source)} order by seq_id"  # noqa: S608
    for topic, drawer, sequence in connection.execute(query):
        if isinstance(topic, str) and isinstance(drawer, str) and type(sequence) is int:
            queued.setdefault(topic.rpartition("/")[2], {}).setdefault(drawer, sequence)
    return queued


def _drawer_ids(connection: sqlite3.Connection, rows: DatabaseRows, segment: object) -> set[str]:
    source = rows.sources.get("embeddings")
    if source is None:
        return set()
    query = f"select embedding_id from {quoted(source)} where segment_id is ?"  # noqa: S608
    return {str(drawer) for (drawer,) in connection.execute(query, [segment])}


def _metadata_segments(
    connection: sqlite3.Connection,
    rows: DatabaseRows,
    tables: Tables,
    folders: Folders,
    queued: dict[str, dict[str, int]],
) -> None:
    """The segment that has the drawers: the one named, else the one whose drawers the index has."""
    named = {one["id"] for one in rows.segments if one["scope"] == "METADATA"}
    loose = [segment for segment in rows.drawers if segment not in named]
    lacking = []
    for collection in tables.collections:
        own = [one["id"] for one in _segments_of(rows, collection) if one["scope"] == "METADATA"]
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
    for one in _segments_of(rows, collection):
        if one["scope"] == "VECTOR" and is_identity(one["id"]):
            ids |= folders.labels(str(one["id"])).keys()
    return ids


def _vector_segments(
    connection: sqlite3.Connection, rows: DatabaseRows, tables: Tables, folders: Folders
) -> None:
    """The segment that names the index's folder: the one named, else one whose drawers it has."""
    marks = {row["segment_id"] for row in rows.watermarks}
    named = {str(one["id"]) for one in rows.segments if one["scope"] == "VECTOR"}
    loose = [one for one in folders.names if one not in named and one not in tables.segments]
    lacking = []
    for collection in list(tables.collections):
        own = [
            str(one["id"])
            for one in _segments_of(rows, collection)
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


def _dimensions(
    palace: Path, connection: sqlite3.Connection, rows: DatabaseRows, tables: Tables
) -> None:
    for identity, row in tables.collections.items():
        width = vector_width(
            palace, connection, rows.sources, identity, tables.segment(identity, "VECTOR")
        )
        dimension = row["dimension"]
        valid = type(dimension) is int and 0 < dimension < 1 << 16
        row["dimension"] = width or (dimension if valid else None)
        drawers = rows.drawers.get(tables.segment(identity, "METADATA"), 0)
        if row["dimension"] is None and drawers:
            row["dimension"] = 384 if str(row["name"]).startswith(MEMPALACE) else None


def _watermarks(
    palace: Path,
    connection: sqlite3.Connection,
    rows: DatabaseRows,
    tables: Tables,
    queued: dict[str, dict[str, int]],
) -> None:
    """A lost one is taken as low as it can have been: what lies above it is replayed.

    The queue keeps a collection's operations from its lower watermark on.
    """
    told = {
        str(row["segment_id"]): sequence_number(row["seq_id"]) or 0
        for row in rows.watermarks
        if is_mark(row["seq_id"])
    }
    for collection in tables.collections:
        metadata = tables.segment(collection, "METADATA")
        vector = tables.segment(collection, "VECTOR")
        sources = [metadata, *(old for old, new in tables.moved.items() if new == metadata)]
        latest = max(_latest(connection, rows, sources), default=0)
        mark = next((told[str(one)] for one in sources if str(one) in told), None)
        flushed = (palace / vector / "index_metadata.pickle").exists()
        if vector in told:
            tables.watermarks[vector] = told[vector]
        elif flushed and SEGMENT_NAME.fullmatch(vector):
            held = queued.get(collection, {}).values()
            tables.watermarks[vector] = min(held, default=mark or latest)
        if mark is None and (latest or vector in tables.watermarks):
            mark = max(latest, tables.watermarks.get(vector, 0))
        if mark is not None:
            tables.watermarks[metadata] = mark


def _latest(
    connection: sqlite3.Connection, rows: DatabaseRows, segments: Sequence[object]
) -> Iterator[int]:
    source = rows.sources.get("embeddings")
    for segment in segments if source else ():
        query = (
            f"select seq_id from {quoted(str(source))} where segment_id is ?"  # noqa: S608
            " and typeof(seq_id) in ('integer', 'blob')"
        )
        for (value,) in connection.execute(query, [segment]):
            if is_mark(value):
                yield sequence_number(value) or 0
