"""How rows of chromadb's tables look, and what its indexes repeat of them.

A page that has lost its table is known by its rows; a row that has lost its page is put
together from the indexes over it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from mempalace_toolkit.chroma.settings import METADATA_NAMES
from mempalace_toolkit.palace.segment_names import SEGMENT_NAME
from mempalace_toolkit.sqlite.values import Value

Row = list[Value]

DOCUMENT = "chroma:document"
_SCOPES = ("VECTOR", "METADATA", "RECORD", "SQLITE")


def _uuid(value: Value) -> bool:
    return isinstance(value, str) and SEGMENT_NAME.fullmatch(value) is not None


def _is_sequence(value: Value) -> bool:
    """A number, or as chromadb before 0.5 wrote it."""
    return isinstance(value, int) or (isinstance(value, bytes) and len(value) <= 8)


def _is_collection(row: Row) -> bool:
    plain = 4 <= len(row) <= 6 and isinstance(row[1], str) and isinstance(row[2], int | None)
    return plain and _uuid(row[0]) and isinstance(row[3], str)


def _is_segment(row: Row) -> bool:
    return len(row) == 4 and _uuid(row[0]) and row[2] in _SCOPES and isinstance(row[3], str)


def _is_database(row: Row) -> bool:
    return len(row) == 3 and all(isinstance(value, str) for value in row)


def _is_tenant(row: Row) -> bool:
    return len(row) == 1 and isinstance(row[0], str)


def _is_setting(row: Row) -> bool:
    return 5 <= len(row) <= 6 and isinstance(row[0], str) and isinstance(row[1], str)


def _is_watermark(row: Row) -> bool:
    return len(row) == 2 and _uuid(row[0]) and _is_sequence(row[1])


def _is_drawer(row: Row) -> bool:
    if not (len(row) == 5 and row[0] is None and _uuid(row[1])):
        return False
    return isinstance(row[2], str) and _is_sequence(row[3])


def _is_metadata(row: Row) -> bool:
    return 5 <= len(row) <= 6 and isinstance(row[0], int) and isinstance(row[1], str)


def _is_queued(row: Row) -> bool:
    if not (len(row) == 8 and row[0] is None and isinstance(row[2], int)):
        return False
    return all(isinstance(value, str) for value in row[3:5]) and isinstance(row[5], bytes | None)


def _is_in_master(row: Row) -> bool:
    kinds = ("table", "index", "view", "trigger")
    return len(row) == 5 and row[0] in kinds and isinstance(row[3], int)


SHAPES: Mapping[str, Callable[[Row], bool]] = {
    "sqlite_master": _is_in_master,
    "tenants": _is_tenant,
    "databases": _is_database,
    "collections": _is_collection,
    "segments": _is_segment,
    "collection_metadata": _is_setting,
    "max_seq_id": _is_watermark,
    "embeddings": _is_drawer,
    "embedding_metadata": _is_metadata,
    "embeddings_queue": _is_queued,
}
"""What every row of a table is like; `embedding_metadata_array` and `segment_metadata` have
rows like others and are only known by their place."""


COPIED = (*(name for name in SHAPES if name != "sqlite_master"), "segment_metadata",
          "embedding_metadata_array")  # fmt: skip
"""What is taken over into a new database; the rest chromadb makes by itself."""

Columns = tuple[int, ...]

INDEXES: Mapping[str, Mapping[str, Columns]] = {
    "tenants": {"sqlite_autoindex_tenants_1": (0,)},
    "databases": {
        "sqlite_autoindex_databases_1": (0,),
        "sqlite_autoindex_databases_2": (2, 1),
    },
    "collections": {
        "sqlite_autoindex_collections_1": (0,),
        "sqlite_autoindex_collections_2": (1, 3),
    },
    "segments": {"sqlite_autoindex_segments_1": (0,)},
    "collection_metadata": {"sqlite_autoindex_collection_metadata_1": (0, 1)},
    "max_seq_id": {"sqlite_autoindex_max_seq_id_1": (0,)},
    "embeddings": {"sqlite_autoindex_embeddings_1": (1, 2)},
    "embedding_metadata": {
        "sqlite_autoindex_embedding_metadata_1": (0, 1),
        "embedding_metadata_string_value": (1, 2),
        "embedding_metadata_int_value": (1, 3),
        "embedding_metadata_float_value": (1, 4),
    },
}
"""The columns of its table that an index repeats, in the index's order; a rowid comes last.
The first index of each table names every row."""

WIDTH: Mapping[str, int] = {
    "tenants": 1,
    "databases": 3,
    "collections": 6,
    "segments": 4,
    "collection_metadata": 6,
    "max_seq_id": 2,
    "embeddings": 5,
    "embedding_metadata": 6,
}


def configuration(metadata: Mapping[str, Value]) -> str:
    """A collection's configuration, made from its metadata: the same settings in another shape."""
    told = {METADATA_NAMES[key]: value for key, value in metadata.items() if key in METADATA_NAMES}
    return json.dumps({"vector_index": {"hnsw": told}, "embedding_function": {"type": "legacy"}})
