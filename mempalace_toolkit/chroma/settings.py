"""How chromadb builds a collection's index: the settings, wherever its version keeps them.

chromadb since 1.2 keeps them in `schema_str`, 1.0 and 1.1 in `config_json_str`, and those before
in the collection's metadata. The first of these that describes an index holds for all settings:
what it does not name is chromadb's default (seen with 1.5.9), never the next one's value.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

SPACES = ("cosine", "l2", "ip")
DEFAULT_SPACE = "l2"
_COLUMNS = ("schema_str", "config_json_str")
_IN_SCHEMA = ("keys", "#embedding", "float_list", "vector_index", "config")
METADATA_NAMES: Mapping[str, str] = {
    "hnsw:space": "space",
    "hnsw:M": "max_neighbors",
    "hnsw:construction_ef": "ef_construction",
    "hnsw:search_ef": "ef_search",
    "hnsw:num_threads": "num_threads",
    "hnsw:batch_size": "batch_size",
    "hnsw:sync_threshold": "sync_threshold",
}
"""A setting's name in the collection's metadata, and in schema and configuration."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The settings of a collection's index, with chromadb's own defaults.

    `max_neighbors` is hnswlib's M.
    """

    space: str = DEFAULT_SPACE
    max_neighbors: int = 16
    ef_construction: int = 100
    ef_search: int = 100
    sync_threshold: int = 1000


def read_settings(connection: sqlite3.Connection, collection: str) -> IndexSettings:
    """The settings of the collection with this id; the defaults where nothing describes them."""
    there = {row[1] for row in connection.execute("pragma table_info(collections)")}
    for column in _COLUMNS:
        if column in there:
            query = f"select {column} from collections where id = ?"  # noqa: S608 - a fixed name
            row = connection.execute(query, [collection]).fetchone()
            found = _described(row[0] if row else None)
            if found is not None:
                return _settings(found)
    rows = connection.execute(
        "select key, coalesce(str_value, int_value) from collection_metadata"
        " where collection_id = ?",
        [collection],
    )
    return _settings({METADATA_NAMES.get(str(key), ""): value for key, value in rows})


def _described(text: object) -> Mapping[str, object] | None:
    """The settings in a schema or a configuration; None where it describes no HNSW index.

    chromadb 0.6 wrote a configuration that its index did not heed, under another name.
    """
    try:
        value = json.loads(str(text or "{}"))
    except (ValueError, RecursionError):
        return None
    in_schema = isinstance(value, dict) and "keys" in value
    for key in _IN_SCHEMA if in_schema else ("vector_index",):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return None
    hnsw = value.get("hnsw")
    named = {"space": value.get("space"), **(hnsw if isinstance(hnsw, dict) else {})}
    if named["space"] is None and isinstance(hnsw, dict):
        named["space"] = DEFAULT_SPACE
    return named if named["space"] in SPACES else None


def _settings(named: Mapping[str, object]) -> IndexSettings:
    standard = IndexSettings()

    def number(key: str, otherwise: int) -> int:
        value = named.get(key)
        return value if type(value) is int and value > 0 else otherwise

    space = named.get("space")
    return IndexSettings(
        space=str(space) if space in SPACES else standard.space,
        max_neighbors=number("max_neighbors", standard.max_neighbors),
        ef_construction=number("ef_construction", standard.ef_construction),
        ef_search=number("ef_search", standard.ef_search),
        sync_threshold=number("sync_threshold", standard.sync_threshold),
    )
