"""What chromadb needs in its small tables, requirement by requirement: it opens nothing without.

Each function takes the tables' rows and gives a finding for all that does not hold. What repair
makes of it is in `mending.py`, in the same order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator

from mempalace_toolkit.chroma.collection_settings import is_configuration, is_schema
from mempalace_toolkit.chroma.small_tables import DatabaseRows, Record
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.palace.segment_names import SEGMENT_NAME

TENANT = "default_tenant"
DATABASE = "default_database"
DATABASE_ID = "00000000-0000-0000-0000-000000000000"
"""Those that chromadb makes, and in which MemPalace looks for its collections."""

SEGMENT_TYPES = {
    "VECTOR": "urn:chroma:segment/vector/hnsw-local-persisted",
    "METADATA": "urn:chroma:segment/metadata/sqlite",
}
MEMPALACE = "mempalace_"
"""How the names of MemPalace's collections begin."""


def check_databases(rows: DatabaseRows) -> Iterator[Finding]:
    """Every collection is in a database, every database of a tenant, and the usual ones exist."""
    tenants = {row["id"] for row in rows.tenants}
    databases = {row["id"] for row in rows.databases}
    lost = sorted({str(row["tenant_id"]) for row in rows.databases} - {str(t) for t in tenants})
    if TENANT not in tenants or lost:
        names = ", ".join(repr(name[:40]) for name in lost or [TENANT])
        yield Finding("tenant_missing", f"the table tenants lacks {names}")
    if not any(row["name"] == DATABASE and row["tenant_id"] == TENANT for row in rows.databases):
        yield Finding("tenant_missing", f"the table databases lacks {DATABASE} of {TENANT}")
    for row in rows.databases:
        if not is_identity(row["id"]):
            yield Finding("tenant_missing", f"the database {row['name']!r} has no id")
    for row in rows.collections:
        if row["database_id"] not in databases:
            message = f"the collection {row['name']!r} is in a database that is gone"
            yield Finding("tenant_missing", message, str(row["name"]))


def check_collections(rows: DatabaseRows) -> Iterator[Finding]:
    """A collection has an id, a name, and settings that chromadb can read."""
    for row in rows.collections:
        name = str(row["name"])
        if not is_identity(row["id"]) or not isinstance(row["name"], str) or not name:
            yield Finding("collection_damaged", f"the collection {name!r} has no name or id", name)
        if not is_configuration(row["config_json_str"]):
            yield Finding("collection_damaged", "its configuration cannot be read", name)
        if not is_schema(row["schema_str"]):
            yield Finding("collection_damaged", "its schema cannot be read", name)
        dimension = row["dimension"]
        if dimension is not None and not (type(dimension) is int and 0 < dimension < 1 << 16):
            yield Finding("dimension_wrong", f"its dimension is {dimension!r}", name)
        if dimension is None and any(rows.drawers.get(one, 0) for one in _own(rows, row)):
            yield Finding("dimension_wrong", "it has drawers, and no dimension of vectors", name)
        if name.startswith(MEMPALACE) and not _has_settings(rows, row):
            yield Finding("collection_damaged", "its metadata are gone", name)
        if any(one["collection_id"] == row["id"] and not is_readable(one) for one in rows.settings):
            yield Finding("collection_damaged", "its metadata cannot be read", name)


def _own(rows: DatabaseRows, collection: Record) -> list[object]:
    return [one["id"] for one in rows.segments if one["collection"] == collection["id"]]


def _has_settings(rows: DatabaseRows, collection: Record) -> bool:
    """Whether MemPalace's own settings are there; chromadb has them in the schema, too."""
    if collection["database_id"] != DATABASE_ID:
        return True
    if collection["schema_str"] is None or "cosine" not in str(collection["schema_str"]):
        return True
    return any(one["collection_id"] == collection["id"] for one in rows.settings)


def is_readable(setting: Record) -> bool:
    """Whether each value has its column's type: chromadb lists no collection otherwise."""
    kinds = {"key": str, "str_value": str, "int_value": int, "float_value": float}
    kinds["bool_value"] = int
    return all(setting[name] is None or type(setting[name]) is kind for name, kind in kinds.items())


def check_segments(rows: DatabaseRows) -> Iterator[Finding]:
    """A collection has one segment of each scope; its id is a UUID, which names its folder."""
    for row in rows.segments:
        if not is_identity(row["id"]):
            message = f"the segment id {str(row['id'])[:60]!r} is not a UUID: it is never followed"
            yield Finding("segment_id_invalid", message)
    known = {row["id"] for row in rows.collections}
    for row in rows.collections:
        own = [one for one in rows.segments if one["collection"] == row["id"]]
        scopes = Counter(one["scope"] for one in own)
        for scope, kind in SEGMENT_TYPES.items():
            if scopes[scope] != 1:
                count = scopes[scope] or "no"
                message = f"it has {count} {scope} segment{'s' if scopes[scope] > 1 else ''}"
                yield Finding("segments_wrong", message, str(row["name"]))
            if any(one["scope"] == scope and one["type"] != kind for one in own):
                message = f"its {scope} segment is of a type that chromadb does not know"
                yield Finding("segments_wrong", message, str(row["name"]))
        if set(scopes) - set(SEGMENT_TYPES):
            message = "it has a segment of a scope that chromadb does not know"
            yield Finding("segments_wrong", message, str(row["name"]))
    lost = {str(one["collection"]) for one in rows.segments if one["collection"] not in known}
    for collection in sorted(lost):
        message = f"there are segments of the collection {collection[:40]!r}, which is gone"
        yield Finding("collection_lost", message)


def check_watermarks_there(rows: DatabaseRows) -> Iterator[Finding]:
    """Every segment with drawers says up to which operation it has them, in a number."""
    marks = {row["segment_id"]: row["seq_id"] for row in rows.watermarks}
    owned = {row["id"]: row for row in rows.segments}
    for segment, row in owned.items():
        mark = marks.get(segment)
        name = next((c["name"] for c in rows.collections if c["id"] == row["collection"]), "")
        if segment in marks and not is_mark(mark):
            message = f"the watermark of a {row['scope']} segment is {str(mark)[:40]!r}"
            yield Finding("watermark_missing", message, str(name), str(segment))
        elif segment not in marks and rows.drawers.get(segment):
            message = f"the watermark of {rows.drawers[segment]} drawers is gone"
            yield Finding("watermark_missing", message, str(name), str(segment))


def check_queue_settings(rows: DatabaseRows) -> Iterator[Finding]:
    """The queue's own settings can be read; chromadb makes them anew where there are none."""
    for row in rows.queue_settings:
        if not is_queue_setting(row["config_json_str"]):
            yield Finding("schema_damaged", "the settings of the queue cannot be read")


def is_queue_setting(text: object) -> bool:
    """Whether chromadb can read it."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("automatically_purge"), bool)


def is_identity(value: object) -> bool:
    """Whether it is a UUID as chromadb writes it."""
    return isinstance(value, str) and SEGMENT_NAME.fullmatch(value) is not None


def is_mark(value: object) -> bool:
    """Whether it is a sequence number; chromadb to 0.6 wrote them as eight bytes."""
    return (type(value) is int and value >= 0) or (isinstance(value, bytes) and len(value) == 8)


REQUIREMENTS: tuple[Callable[[DatabaseRows], Iterator[Finding]], ...] = (
    check_databases,
    check_collections,
    check_segments,
    check_watermarks_there,
    check_queue_settings,
)
