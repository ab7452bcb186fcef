"""Databases and collections of a mended database: their rows, ids, names and settings."""

from __future__ import annotations

import uuid
from collections import Counter

from mempalace_toolkit.chroma.collection_settings import lost_metadata, mended_settings
from mempalace_toolkit.chroma.small_tables import DatabaseRows, Record
from mempalace_toolkit.index.check.database.small_tables import (
    DATABASE,
    DATABASE_ID,
    MEMPALACE,
    TENANT,
    is_identity,
    is_readable,
)
from mempalace_toolkit.index.recovery.mending_tables import Tables

_NAMES = ("mempalace_drawers", "mempalace_closets")


def take_databases(rows: DatabaseRows, tables: Tables) -> None:
    """The default database has a fixed id, by which its name and tenant are known."""
    usual = any(row["name"] == DATABASE and row["tenant_id"] == TENANT for row in rows.databases)
    for row in rows.databases:
        found = (row["id"], row["name"], row["tenant_id"])
        if found[0] == DATABASE_ID and not usual:
            found = (DATABASE_ID, DATABASE, TENANT)
        taken = {(tenant, name) for _, name, tenant in tables.databases}
        ids = {one for one, _, _ in tables.databases}
        named = is_identity(found[0]) and all(isinstance(one, str) and one for one in found)
        if named and (found[2], found[1]) not in taken and found[0] not in ids:
            tables.databases.append((str(found[0]), str(found[1]), str(found[2])))
    if not any(row[1:] == (DATABASE, TENANT) for row in tables.databases):
        tables.databases.append((DATABASE_ID, DATABASE, TENANT))
    own = [row["id"] for row in rows.tenants if isinstance(row["id"], str) and row["id"]]
    tables.tenants = list(
        dict.fromkeys([TENANT, *map(str, own), *(t for _, _, t in tables.databases)])
    )


def take_collections(rows: DatabaseRows, tables: Tables) -> None:
    lost = _lost_collections(rows)
    nameless = [row for row in rows.collections if not segments_of(rows, row["id"])]
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


def segments_of(rows: DatabaseRows, collection: object) -> list[Record]:
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
        if own and sum(value is not None for value in values) == 1 and is_readable(one):
            found.setdefault(str(one["key"]), (identity, one["key"], *values))
    return list(found.values())
